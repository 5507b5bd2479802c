//! Where a manager listens and a client connects: TCP for other machines, a Unix socket for this one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One end of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// The path of a socket file.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no queue address; write tcp://HOST:PORT or unix:PATH")]
pub struct AddressError(String);

impl Address {
    /// Whether only processes of this machine can reach it.
    pub fn is_local(&self) -> bool {
        let Address::Tcp(host_port) = self else { return true };
        let host = host_port.rsplit_once(':').map_or(host_port.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let refused = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refused()) } else { Ok(Address::Unix(PathBuf::from(path))) };
        }
        let host_port = text.strip_prefix("tcp://").ok_or_else(refused)?;
        let (host, port) = host_port.rsplit_once(':').ok_or_else(refused)?;
        let is_bare_v6 = host.contains(':') && !host_port.parse::<SocketAddr>().is_ok_and(|address| address.is_ipv6());
        if host.is_empty() || is_bare_v6 || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(refused());
        }
        Ok(Address::Tcp(host_port.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host_port) => write!(f, "tcp://{host_port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["tcp://127.0.0.1:50000", "tcp://[::1]:50000", "tcp://queue.example:1", "unix:/run/queue.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_allowed() {
        for text in ["", "127.0.0.1:50000", "tcp://:1", "tcp://host", "tcp://host:port", "tcp://::1:50000", "unix:"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("tcp://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn loopback_and_socket_files_are_local() {
        for text in ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "unix:q"] {
            assert!(text.parse::<Address>().unwrap().is_local(), "{text}");
        }
        assert!(!"tcp://0.0.0.0:1".parse::<Address>().unwrap().is_local());
    }
}
