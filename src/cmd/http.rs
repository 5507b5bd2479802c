//! Where HTTP is served and the queue is reached: the arguments of `copydesk frontend` that `check` takes as well.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use common::Findings;
use nix::unistd::{AccessFlags, access};
use queue::Address;

use super::given::{Given, number, parsed};

/// Where HTTP is served if nobody says where.
const LISTEN: &str = "127.0.0.1:8080";

/// As they are given.
#[derive(clap::Args, Debug, Clone)]
pub struct HttpArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "COPYDESK_LISTEN")]
    listen: Option<String>,

    /// The backend's queue: unix:PATH or tcp://HOST:PORT [default: unix:DIR/queue.sock in the data directory]
    #[arg(long, value_name = "ADDR", env = "COPYDESK_QUEUE")]
    #[arg(value_parser = parsed(Address::Unix(PathBuf::new()), address))]
    queue: Option<Given<Address>>,

    /// Threads that serve
    #[arg(long, value_name = "N", env = "COPYDESK_FRONTEND_THREADS", default_value = "2")]
    #[arg(value_parser = number(1..=1024u16))]
    threads: Given<u16>,

    /// Write the address that was bound to this file, once it is
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
}

/// As they are meant.
pub struct Http {
    /// Where HTTP is served.
    pub listen: String,
    /// Whether somebody said so.
    pub is_listen_given: bool,
    /// The backend's queue.
    pub queue: Address,
    /// Threads that serve.
    pub threads: u16,
    /// Where the bound address is written.
    pub address_file: Option<PathBuf>,
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error: queue::AddressError| error.to_string())
}

impl HttpArgs {
    /// What is meant; what is wrong is noted.
    pub fn resolve(&self, data_dir: &Path, found: &mut Findings) -> Http {
        if let Some(file) = &self.address_file {
            check_address_file(file, found);
        }
        let queue = self.queue.as_ref().map(|queue| queue.take("--queue", found));
        Http {
            listen: self.listen.clone().unwrap_or_else(|| LISTEN.to_owned()),
            is_listen_given: self.listen.is_some(),
            queue: queue.unwrap_or_else(|| backend::host::socket(data_dir)),
            threads: self.threads.take_named("--threads", "COPYDESK_FRONTEND_THREADS", found),
            address_file: self.address_file.clone(),
        }
    }
}

fn check_address_file(file: &Path, found: &mut Findings) {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = access(dir, AccessFlags::W_OK | AccessFlags::X_OK) {
        let (file, dir) = (file.display(), dir.display());
        let message = format!("--address-file {file} can't be written: {dir}: {error}; give another path");
        found.problem("address_file_unusable", message);
    }
}

/// Binds an address that only this machine can reach. What stands against it is noted.
pub fn bind(listen: &str, found: &mut Findings) -> Option<TcpListener> {
    let mut unusable = |error: io::Error| {
        let hint = "give HOST:PORT, such as 127.0.0.1:8080";
        found.problem("http_listen_unusable", format!("--listen {listen:?} can't be used: {error}; {hint}"));
    };
    let addresses: Vec<SocketAddr> = listen.to_socket_addrs().map_err(&mut unusable).ok()?.collect();
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        let message = format!(
            "--listen {listen} can be reached by other machines, and there are no access tokens yet; listen on \
             127.0.0.1:PORT, and put a proxy that checks who is asking in front of it"
        );
        found.problem("http_listen_exposed", message);
        return None;
    }
    match TcpListener::bind(&addresses[..]) {
        Ok(listener) => Some(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let message = format!(
                "--listen {listen}: another program listens there, perhaps another copydesk; stop it, or choose \
                 another port (0 takes a free one)"
            );
            found.problem("http_listen_in_use", message);
            None
        }
        Err(error) => {
            unusable(error);
            None
        }
    }
}
