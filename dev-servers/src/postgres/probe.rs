//! Asks a Postgres whether it accepts connections, as far as the first message of its protocol goes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

const PROBE_LIMIT: Duration = Duration::from_secs(2);
const PROTOCOL_3_0: i32 = 196_608;
/// The longest refusal that is read; the code stands near its beginning.
const LONGEST_REFUSAL_BYTES: usize = 1024;
/// "The database system is starting up" (or shutting down, or in recovery).
const CANNOT_CONNECT_NOW: &str = "57P03";

/// The error says why not, in a few words.
pub(super) fn accepts_connections(port: u16, role: &str) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        stream.set_write_timeout(Some(PROBE_LIMIT))?;
        stream.write_all(&startup_message(role))?;
        let mut answer = vec![0; LONGEST_REFUSAL_BYTES];
        let read = stream.read(&mut answer)?;
        answer.truncate(read);
        Ok(answer)
    };
    judge(&ask().map_err(|error| error.to_string())?)
}

fn startup_message(role: &str) -> Vec<u8> {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    for text in ["user", role, "database", "postgres", ""] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    // The length counts itself; the message is a few dozen bytes.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.extend(body);
    message
}

fn judge(answer: &[u8]) -> Result<(), String> {
    match answer {
        // It asks for the password: it works.
        [b'R', ..] => Ok(()),
        [b'E', _, _, _, _, fields @ ..] => {
            let text = String::from_utf8_lossy(fields);
            let field = |code| {
                text.split('\0')
                    .find_map(|field| field.strip_prefix(code))
                    .unwrap_or_default()
            };
            if field('C') == CANNOT_CONNECT_NOW {
                Err(field('M').to_owned())
            } else {
                // Any other refusal (too many connections, say) comes from a server that works.
                Ok(())
            }
        }
        [] => Err("it closed the connection".to_owned()),
        _ => Err("what answers on the port is no Postgres".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_starts_up_is_not_ready_and_a_full_one_is() {
        let refusal = |code: &str| {
            let mut answer = b"E\0\0\0\x50SFATAL\0VFATAL\0".to_vec();
            answer.extend_from_slice(format!("C{code}\0Mnot now\0\0").as_bytes());
            answer
        };
        assert_eq!(judge(&refusal("57P03")), Err("not now".to_owned()));
        assert_eq!(judge(&refusal("53300")), Ok(()));
        assert_eq!(judge(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"), Ok(()));
        assert!(judge(b"").is_err());
        assert!(judge(b"INFO {}").is_err());
    }
}
