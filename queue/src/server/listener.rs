//! Where the server listens.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::address::Address;

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
        let bound = match address {
            Address::Tcp(host_port) => bind_tcp(host_port).await,
            Address::Unix(path) => bind_unix(path).await,
        };
        bound.map_err(|error| io::Error::new(error.kind(), format!("can't listen on {address}: {error}")))
    }

    /// What it is bound to.
    pub fn address(&self) -> &Address {
        &self.address
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

async fn bind_tcp(host_port: &str) -> io::Result<Listener> {
    let listener = TcpListener::bind(host_port).await?;
    let address = Address::Tcp(listener.local_addr()?.to_string());
    Ok(Listener { address, socket: Socket::Tcp(listener) })
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                let message = "another process answers there; stop it first, or give another path";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener { address: Address::Unix(path.to_owned()), socket: Socket::Unix(listener) })
}
