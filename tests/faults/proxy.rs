//! A network that can be bad: stands between processes and the queue, or between clients and the frontend, and cuts,
//! delays, stalls, or swallows answers.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::chaos::Dice;

/// What happens to what passes.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// Each direction of a connection ends both after a random number of bytes up to this.
    pub cut_within: Option<u64>,
    /// Pauses up to this, in milliseconds, before some of what passes.
    pub delay_ms: u64,
    /// Connections are accepted and nothing passes.
    pub is_stalled: bool,
    /// Connections that end instead of bringing their first answer.
    pub swallow_first: u32,
}

/// A proxy; its threads end with the test's process.
pub struct Proxy {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    upstream: Upstream,
    weather: Mutex<(Weather, Dice)>,
    cuts: Mutex<u64>,
}

enum Upstream {
    Unix(PathBuf),
    Tcp(String),
}

impl Proxy {
    /// On a port of this machine, in front of a socket file that may not be there yet. Its address as in `--queue`.
    pub fn to_unix(upstream: &Path, seed: u64) -> Proxy {
        Proxy::on_tcp(Upstream::Unix(upstream.to_owned()), seed)
    }

    /// On a port of this machine, in front of another.
    pub fn to_tcp(host_port: &str, seed: u64) -> Proxy {
        Proxy::on_tcp(Upstream::Tcp(host_port.to_owned()), seed)
    }

    fn on_tcp(upstream: Upstream, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Shared::new(upstream, seed);
        let proxy = Proxy { shared: Arc::clone(&shared), address };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_nodelay(true).expect("a socket");
                shared.serve(stream);
            }
        });
        proxy
    }

    /// In the place of a socket file that somebody listens on. Who is connected stays so; who connects from now on comes
    /// through here.
    pub fn in_place_of(socket: &Path, seed: u64) -> Proxy {
        let (behind, before) = (socket.with_extension("behind"), socket.with_extension("before"));
        let listener = UnixListener::bind(&before).expect("a socket file");
        std::fs::hard_link(socket, &behind).expect("a second name");
        std::fs::rename(&before, socket).expect("rename");
        let shared = Shared::new(Upstream::Unix(behind), seed);
        let proxy = Proxy { shared: Arc::clone(&shared), address: socket.display().to_string() };
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| shared.serve(stream)));
        proxy
    }

    /// `HOST:PORT`, or a path.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The weather from now on, also for connections that are there.
    pub fn set(&self, weather: Weather) {
        self.shared.weather().0 = weather;
    }

    /// Connections that it ended so far.
    pub fn cuts(&self) -> u64 {
        *self.shared.cuts.lock().expect("no thread panicked")
    }
}

impl Shared {
    fn new(upstream: Upstream, seed: u64) -> Arc<Shared> {
        let weather = Mutex::new((Weather::default(), Dice(seed)));
        Arc::new(Shared { upstream, weather, cuts: Mutex::new(0) })
    }

    fn weather(&self) -> MutexGuard<'_, (Weather, Dice)> {
        self.weather.lock().expect("no thread panicked")
    }

    fn serve<S: Stream>(self: &Arc<Self>, client: S) {
        match &self.upstream {
            Upstream::Unix(path) => self.join(client, UnixStream::connect(path)),
            Upstream::Tcp(host_port) => self.join(client, TcpStream::connect(host_port)),
        }
    }

    /// Two threads, one a direction. If nobody is behind, the client sees its connection end.
    fn join<A: Stream, B: Stream>(self: &Arc<Self>, client: A, server: io::Result<B>) {
        let Ok(server) = server else { return };
        let (Ok(client_too), Ok(server_too)) = (client.twin(), server.twin()) else { return };
        let is_swallowed = {
            let weather = &mut self.weather().0;
            let is_swallowed = weather.swallow_first > 0;
            weather.swallow_first = weather.swallow_first.saturating_sub(1);
            is_swallowed
        };
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || there.pass(client, server, false));
        std::thread::spawn(move || back.pass(server_too, client_too, is_swallowed));
    }

    /// Passes bytes on until either side or the weather ends it.
    fn pass<A: Stream, B: Stream>(&self, mut from: A, mut to: B, is_swallowed: bool) {
        let mut room = vec![0; 16 << 10];
        let mut passed = 0;
        let mut cut_at = None;
        while let Ok(count @ 1..) = from.read(&mut room) {
            let pause = self.until_it_passes();
            std::thread::sleep(Duration::from_millis(pause));
            let left = {
                let (weather, dice) = &mut *self.weather();
                let cut_within = weather.cut_within;
                cut_at = cut_within.map(|within| cut_at.unwrap_or_else(|| passed + dice.below(within)));
                cut_at.map_or(u64::MAX, |at: u64| at.saturating_sub(passed))
            };
            let count = if is_swallowed { 0 } else { (count as u64).min(left) };
            let is_cut = is_swallowed || count == left;
            if is_cut {
                *self.cuts.lock().expect("no thread panicked") += 1;
            }
            if to.write_all(&room[..count as usize]).is_err() || is_cut {
                break;
            }
            passed += count;
        }
        from.end();
        to.end();
    }

    /// Waits while nothing passes, and gives a pause for what comes then.
    fn until_it_passes(&self) -> u64 {
        loop {
            {
                let (weather, dice) = &mut *self.weather();
                if !weather.is_stalled {
                    // One time in eight, or nothing would ever be whole.
                    let is_slow = weather.delay_ms > 0 && dice.below(8) == 0;
                    return if is_slow { dice.below(weather.delay_ms) } else { 0 };
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Either kind of socket.
trait Stream: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn end(&self);
}

impl Stream for TcpStream {
    fn twin(&self) -> io::Result<TcpStream> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> io::Result<UnixStream> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}
