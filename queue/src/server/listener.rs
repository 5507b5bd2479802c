//! Where the server listens.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::address::Address;
use crate::manager::{AFTERLIFE, AFTERLIFE_STEP};

/// Bytes of the path of a Unix socket, by the system.
const SOCKET_PATH_MAX: usize = 107;

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection, and who is there.
pub(crate) enum Accepted {
    Tcp(TcpStream, String),
    Unix(UnixStream),
}

impl Listener {
    /// Binds an address. A socket file that nobody answers on is replaced; port 0 takes a free port.
    pub async fn bind(address: &Address) -> io::Result<Listener> {
        let deadline = Instant::now() + AFTERLIFE;
        let bound = loop {
            let bound = match address {
                Address::Tcp(host_port) => bind_tcp(host_port).await,
                Address::Unix(path) => {
                    bind_unix(path).await.map(|socket| Listener { address: Address::Unix(path.to_owned()), socket })
                }
            };
            match bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    tokio::time::sleep(AFTERLIFE_STEP).await;
                }
                bound => break bound,
            }
        };
        bound.map_err(|error| io::Error::new(error.kind(), format!("can't listen on {address}: {error}")))
    }

    /// Whether [`Listener::bind`] would be given this address now. Makes nothing.
    pub fn probe(address: &Address) -> io::Result<()> {
        let probe = || match address {
            Address::Tcp(host_port) => std::net::TcpListener::bind(host_port).map(drop).map_err(in_use),
            Address::Unix(path) => {
                check_length(path).and_then(|()| match std::os::unix::net::UnixStream::connect(path) {
                    Ok(_) => Err(answered()),
                    Err(_) => Ok(()),
                })
            }
        };
        let deadline = Instant::now() + AFTERLIFE;
        let probed = loop {
            match probe() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    std::thread::sleep(AFTERLIFE_STEP);
                }
                probed => break probed,
            }
        };
        probed.map_err(|error| io::Error::new(error.kind(), format!("can't listen on {address}: {error}")))
    }

    /// What it is bound to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Binds a socket file again that somebody has removed.
    pub(crate) async fn heal(&mut self) -> io::Result<()> {
        if let (Socket::Unix(_), Address::Unix(path)) = (&self.socket, &self.address)
            && !path.try_exists()?
        {
            tracing::warn!(address = %self.address, "the socket file was removed; it is made again");
            self.socket = bind_unix(path).await?;
        }
        Ok(())
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, peer.ip().to_string()))
            }
            Socket::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Socket::Unix(_), Address::Unix(path)) = (&self.socket, &self.address) {
            // Only tidiness: the next one replaces it anyway.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn in_use(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            io::Error::new(error.kind(), "another process listens there; stop it, or choose another port")
        }
        _ => error,
    }
}

fn answered() -> io::Error {
    let message = "another process answers there; stop it first, or give another path";
    io::Error::new(io::ErrorKind::AddrInUse, message)
}

fn check_length(path: &Path) -> io::Result<()> {
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        let message = format!("the path has more than {SOCKET_PATH_MAX} bytes; use a shorter one (--data-dir)");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

async fn bind_tcp(host_port: &str) -> io::Result<Listener> {
    let listener = TcpListener::bind(host_port).await.map_err(in_use)?;
    let address = Address::Tcp(listener.local_addr()?.to_string());
    Ok(Listener { address, socket: Socket::Tcp(listener) })
}

async fn bind_unix(path: &Path) -> io::Result<Socket> {
    check_length(path)?;
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(answered());
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Socket::Unix(listener))
}
