//! Crowds at the port.

use queue::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::*;

/// A manager on a Unix socket and on TCP; it ends with the runtime of its test.
async fn on_both(settings: ManagerSettings, secret: Option<Secret>) -> (Address, Address) {
    let unix = Listener::bind(&Address::Unix(settings.dir.join("queue.sock"))).await.unwrap();
    let tcp = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addresses = (unix.address().clone(), tcp.address().clone());
    let (manager, _) = open(settings);
    tokio::spawn(serve(manager, vec![unix, tcp], secret, std::future::pending()));
    addresses
}

fn settings_of(address: &Address, secret: Option<Secret>) -> ClientSettings {
    ClientSettings { address: address.clone(), secret, name: "one".to_owned(), reconnect_for: SOON }
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_out_nobody_who_knows_the_secret() {
    let dir = dir();
    std::fs::write(dir.path().join("secret"), "correct horse battery staple").unwrap();
    let secret = Secret::from_file(dir.path().join("secret")).unwrap();
    let settings = ManagerSettings { connections_max: 16, ..settings(dir.path()) };
    let (unix, tcp) = on_both(settings, Some(secret.clone())).await;
    let Address::Tcp(host_port) = &tcp else { panic!("an address of TCP") };
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(host_port).await.unwrap());
    }
    for address in [&unix, &tcp] {
        let client = Client::connect(settings_of(address, Some(secret.clone()))).await.unwrap();
        client.put(POSTS, items(0..1)).await.unwrap();
    }
    // Those who came last stand there still; it is the first who had to go.
    let closed = |stream: &TcpStream| matches!(stream.try_read(&mut [0; 256]), Ok(0));
    until("the first is sent away", || {
        let _ = crowd[0].try_read(&mut [0; 256]);
        closed(&crowd[0])
    })
    .await;
    assert!(!closed(&crowd[99]) && !closed(&crowd[99]));
}

#[tokio::test]
async fn whoever_fills_one_address_leaves_the_other_free() {
    let dir = dir();
    let (unix, tcp) = on_both(ManagerSettings { connections_max: 4, ..settings(dir.path()) }, None).await;
    let mut inside = Vec::new();
    for _ in 0..4 {
        inside.push(Client::connect(settings_of(&tcp, None)).await.unwrap());
    }
    let impatient = ClientSettings { reconnect_for: std::time::Duration::from_millis(300), ..settings_of(&tcp, None) };
    assert!(matches!(Client::connect(impatient).await, Err(QueueError::Disconnected(_))));
    let client = Client::connect(settings_of(&unix, None)).await.unwrap();
    client.put(POSTS, items(0..1)).await.unwrap();
    // One who leaves makes room.
    inside.pop().unwrap().close().await;
    Client::connect(settings_of(&tcp, None)).await.unwrap();
}

#[tokio::test]
async fn one_at_the_door_is_not_sent_away_for_nobody() {
    let dir = dir();
    // Room for one at the door, and for one inside.
    let (unix, _) = on_both(ManagerSettings { connections_max: 1, ..settings(dir.path()) }, None).await;
    let Address::Unix(path) = &unix else { panic!("a socket file") };
    let mut silent = tokio::net::UnixStream::connect(path).await.unwrap();
    let mut greeting = [0; 256];
    assert!(silent.read(&mut greeting).await.unwrap() > 0);
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), silent.read(&mut greeting)).await;
    assert!(more.is_err(), "it was sent away");
}
