//! Keeps a client connected: dials, waits longer after every failure, and dials again.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::address::Address;
use crate::api::QueueError;
use crate::client::ClientSettings;
use crate::client::session::{self, Session};

/// Pause after the first failure; twice as long after every other.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long dialling and the handshake may take.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// What is known of the connection.
#[derive(Clone)]
enum State {
    /// Not tried yet, or being tried again: the reason of the last failure.
    Down(String),
    Up(Arc<Session>),
    /// The manager does not want this client. It is asked again in a while, but nobody need wait for that.
    Refused(QueueError),
    /// Closed by this side.
    Closed,
}

/// A client's connection, now and later.
pub(crate) struct Link {
    settings: ClientSettings,
    state: watch::Sender<State>,
    /// Dropped to say good-bye; none before the first call and after the good-bye.
    keeper: Mutex<Option<oneshot::Sender<()>>>,
    is_started: std::sync::Once,
}

impl Link {
    pub(crate) fn new(settings: ClientSettings) -> Link {
        let state = watch::Sender::new(State::Down("not connected yet".to_owned()));
        Link { settings, state, keeper: Mutex::new(None), is_started: std::sync::Once::new() }
    }

    pub(crate) fn reconnect_for(&self) -> Duration {
        self.settings.reconnect_for
    }

    /// The session, if there is one now.
    pub(crate) fn current(&self) -> Option<Arc<Session>> {
        match &*self.state.borrow() {
            State::Up(session) => Some(Arc::clone(session)),
            _ => None,
        }
    }

    /// The session, waiting for one until `deadline`.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, QueueError> {
        self.start();
        let mut state = self.state.subscribe();
        let is_decided = |state: &State| !matches!(state, State::Down(_));
        let decided =
            timeout_at(deadline, state.wait_for(is_decided)).await.map(|state| state.map(|state| state.clone()));
        match decided {
            Ok(Ok(State::Up(session))) => Ok(session),
            Ok(Ok(State::Refused(error))) => Err(error),
            Err(_) => match &*self.state.borrow() {
                State::Down(reason) => Err(QueueError::Disconnected(format!("{}: {reason}", self.settings.address))),
                _ => Err(QueueError::Disconnected(format!("{}: it took too long", self.settings.address))),
            },
            Ok(_) => Err(QueueError::Disconnected("this client was closed".to_owned())),
        }
    }

    /// The first call begins to dial, because only then there is a runtime to do it on.
    fn start(&self) {
        self.is_started.call_once(|| {
            let (keeper, gone) = oneshot::channel();
            *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
            tokio::spawn(keep_connected(self.settings.clone(), self.state.clone(), gone));
        });
    }

    pub(crate) async fn close(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if keeper.is_some() {
            drop(keeper);
            let mut state = self.state.subscribe();
            let is_closed = |state: &State| matches!(state, State::Closed);
            // It ends within the time given to a good-bye.
            let _ = state.wait_for(is_closed).await;
        }
    }
}

async fn keep_connected(settings: ClientSettings, state: watch::Sender<State>, mut gone: oneshot::Receiver<()>) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let dialled = tokio::select! {
            dialled = timeout(DIAL_WITHIN, dial(&settings)) => dialled,
            _ = &mut gone => break,
        };
        let failure = match dialled {
            Ok(Ok((session, driver))) => {
                backoff = BACKOFF_MIN;
                state.send_replace(State::Up(Arc::clone(&session)));
                let end = driver.run(&session, &mut gone).await;
                match end {
                    session::End::Closed => break,
                    session::End::Lost(reason) => {
                        tracing::warn!(address = %settings.address, reason, "connection lost");
                        State::Down(reason)
                    }
                }
            }
            Ok(Err(QueueError::Disconnected(reason))) => State::Down(reason),
            Ok(Err(error)) => State::Refused(error),
            Err(_) => State::Down("no answer in time".to_owned()),
        };
        state.send_replace(failure);
        tokio::select! {
            () = sleep(jittered(backoff)) => {}
            _ = &mut gone => break,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    state.send_replace(State::Closed);
}

/// Between three quarters and all of it, so that a hundred clients do not come back in the same moment.
fn jittered(pause: Duration) -> Duration {
    let quarter = pause.as_millis() as u64 / 4;
    let random = RandomState::new().hash_one(0) % (quarter + 1);
    pause - Duration::from_millis(random)
}

async fn dial(settings: &ClientSettings) -> Result<(Arc<Session>, session::Driver), QueueError> {
    let lost = |error: std::io::Error| QueueError::Disconnected(error.to_string());
    match &settings.address {
        Address::Tcp(host_port) => {
            let stream = TcpStream::connect(host_port).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            let (reader, writer) = stream.into_split();
            session::login(settings, Box::new(reader), Box::new(writer)).await
        }
        Address::Unix(path) => {
            let (reader, writer) = UnixStream::connect(path).await.map_err(lost)?.into_split();
            session::login(settings, Box::new(reader), Box::new(writer)).await
        }
    }
}
