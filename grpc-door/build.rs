//! Compiles the protos: a descriptor set, which the door works from, and clients.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 8] = [
    "waybill/v1/catalog.proto",
    "waybill/v1/customers.proto",
    "waybill/v1/inventory.proto",
    "waybill/v1/money.proto",
    "waybill/v1/notifications.proto",
    "waybill/v1/orders.proto",
    "waybill/v1/route.proto",
    "waybill/v1/sagas.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Written by the compiler itself: the routes are options that the plain types would lose.
    std::fs::write(
        out.join("waybill.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
