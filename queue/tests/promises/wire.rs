//! Strangers, liars and the slow at the port.

use std::time::Duration;

use queue::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::*;

fn secret(text: &str) -> Secret {
    let dir = dir();
    let path = dir.path().join("secret");
    std::fs::write(&path, text).unwrap();
    Secret::from_file(&path).unwrap()
}

async fn raw(running: &Running) -> UnixStream {
    let Address::Unix(path) = &running.address else { panic!("a Unix socket") };
    UnixStream::connect(path).await.unwrap()
}

/// Logs in by hand, without a secret.
async fn logged_in(running: &Running) -> UnixStream {
    let mut stream = raw(running).await;
    read_frame(&mut stream).await.unwrap();
    let mut login = b"CDQP".to_vec();
    login.extend(1u16.to_le_bytes());
    login.extend([0; 64]);
    login.extend([3, b'r', b'a', b'w']);
    stream.write_all(&frame(0x71, 0, &login)).await.unwrap();
    assert_eq!(read_frame(&mut stream).await.unwrap().0, 0x72);
    stream
}

fn frame(op: u8, request: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32 + 9).to_le_bytes().to_vec();
    frame.push(op);
    frame.extend(request.to_le_bytes());
    frame.extend(body);
    frame
}

async fn read_frame(stream: &mut UnixStream) -> std::io::Result<(u8, u64, Vec<u8>)> {
    let length = stream.read_u32_le().await?;
    let (op, request) = (stream.read_u8().await?, stream.read_u64_le().await?);
    let mut body = vec![0; length as usize - 9];
    stream.read_exact(&mut body).await?;
    Ok((op, request, body))
}

/// Reads until the other side hangs up.
async fn hang_up(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
    let _ = ended.expect("awaited in vain: the manager hangs up");
    rest
}

#[tokio::test]
async fn only_the_right_secret_is_let_in_from_both_sides() {
    let dir = dir();
    let right = secret("correct horse battery staple");
    let running = start_with(settings(dir.path()), Some(right.clone())).await;
    let with = |secret| ClientSettings { secret, ..running.client_settings("one") };
    let client = Client::connect(with(Some(right.clone()))).await.unwrap();
    client.put(POSTS, items(0..1)).await.unwrap();
    for wrong in [None, Some(secret("incorrect horse battery staple"))] {
        assert_eq!(Client::connect(with(wrong)).await.err(), Some(QueueError::Unauthorized));
    }
    // A manager that does not know the secret is not trusted either.
    let open_dir = self::dir();
    let open = start(settings(open_dir.path())).await;
    let settings = ClientSettings { secret: Some(right), ..open.client_settings("one") };
    assert_eq!(Client::connect(settings).await.err(), Some(QueueError::Unauthorized));
}

#[tokio::test]
async fn garbage_is_refused_and_disturbs_nobody() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..3)).await.unwrap();
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: queue\r\n\r\n"[..], &[0; 64], &[0xff; 64], b"\x09\0\0\0\x71\0\0\0\0\0\0\0\0"]
    {
        let mut stream = raw(&running).await;
        stream.write_all(garbage).await.unwrap();
        hang_up(&mut stream).await;
    }
    // After the login: unknown operations, malformed fields, lengths that lie.
    let lies = [
        frame(99, 1, b""),
        frame(1, 1, b"\0\xff\xff\xff\xff"),
        frame(1, 1, b"\0\x01\0\0\0\x05\0\xff\xff\xff\x7fab"),
        frame(1, 1, b"\0\x01\0\0\0\0\0\0\0\0\0"),
        frame(1, 1, b"\0\x01\0\0\0\x01\0\0\0\0\0\xff"),
        frame(2, 1, b"\0"),
        frame(3, 1, b"\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0"),
        u32::MAX.to_le_bytes().to_vec(),
        vec![1, 0, 0, 0, 0],
    ];
    for lie in lies {
        let mut stream = logged_in(&running).await;
        stream.write_all(&lie).await.unwrap();
        assert_eq!(hang_up(&mut stream).await.get(4), Some(&0xff), "an error comes first: {lie:?}");
    }
    assert_eq!(drain(&client, POSTS).await.len(), 3);
}

#[tokio::test]
async fn half_a_frame_holds_up_nobody_and_is_not_waited_for_for_ever() {
    let dir = dir();
    let running = start(ManagerSettings { lease_timeout: Duration::from_millis(600), ..settings(dir.path()) }).await;
    let mut slow = logged_in(&running).await;
    slow.write_all(&frame(1, 1, &[0; 5000])[..100]).await.unwrap();
    let client = running.client("one").await;
    client.put(POSTS, items(0..1)).await.unwrap();
    assert_eq!(drain(&client, POSTS).await.len(), 1);
    hang_up(&mut slow).await;
}

#[tokio::test]
async fn a_silent_consumer_loses_its_leases_and_a_busy_one_does_not() {
    let dir = dir();
    let running = start(ManagerSettings { lease_timeout: Duration::from_millis(500), ..settings(dir.path()) }).await;
    let client = running.client("busy").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    let held = lease(&client, POSTS, 1).await;
    let mut silent = logged_in(&running).await;
    let mut lease_one = vec![0];
    lease_one.extend([1u32, 1000, 0].into_iter().flat_map(u32::to_le_bytes));
    silent.write_all(&frame(2, 5, &lease_one)).await.unwrap();
    let (op, request, _) = read_frame(&mut silent).await.unwrap();
    assert_eq!((op, request), (0x82, 5));
    hang_up(&mut silent).await;
    until("the silent one's lease is free", || running.counts("posts").leased == 1).await;
    // By now the busy one has said nothing of its own for longer than the timeout, but its client pings.
    client.settle(POSTS, leases(&held), None).await.unwrap();
    let again = lease(&client, POSTS, 1).await;
    assert_eq!((again[0].id.as_str(), again[0].attempt), ("id-1", 2));
}

#[tokio::test]
async fn large_items_pass_up_to_the_limit_and_not_beyond() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let large = vec![3; 32 << 20];
    let too_large = vec![4; (32 << 20) + 1];
    let outcomes = client.put(POSTS, vec![item("too large", too_large), item("small", "x")]).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::TooLarge, PutOutcome::Accepted]);
    assert_eq!(client.put(POSTS, vec![item("large", large.clone())]).await.unwrap(), [PutOutcome::Accepted]);
    let taken = lease(&client, POSTS, 1).await;
    client.settle(POSTS, leases(&taken), None).await.unwrap();
    let taken = lease(&client, POSTS, 1).await;
    assert!(taken[0].payload == large);
    let whole = vec![item("a", large.clone()), item("b", large)];
    assert!(matches!(client.put(POSTS, whole).await, Err(QueueError::TooLarge { .. })));
    // A worker's settlement: many leases, many megabytes.
    for put in 0..25 {
        client.put(POSTS, items(put * 1000..put * 1000 + 1000)).await.unwrap();
    }
    client.settle(POSTS, leases(&taken), None).await.unwrap();
    let mut held = Vec::new();
    while held.len() < 25_000 {
        held.extend(leases(&lease(&client, POSTS, 25_000).await));
    }
    let outputs = (0..16).map(|number| item(number, vec![0; 1 << 20])).collect();
    client.settle(POSTS, held, Some(Outputs { queue: RESULTS, items: outputs })).await.unwrap();
    assert_eq!((running.counts("posts").settled, running.counts("results").ready), (25_002, 16));
}

#[tokio::test]
async fn a_client_may_start_first_and_outlives_the_server() {
    let dir = dir();
    let address = Address::Unix(dir.path().join("queue.sock"));
    let client = Client::new_lazy(ClientSettings { address, reconnect_for: SOON, ..ClientSettings::default() });
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.put(POSTS, items(0..2)).await.unwrap() }
    });
    tokio::task::yield_now().await;
    let running = start(settings(dir.path())).await;
    assert_eq!(early.await.unwrap(), vec![PutOutcome::Accepted; 2]);
    running.stop().await;
    let impatient = ClientSettings { reconnect_for: Duration::from_millis(50), ..ClientSettings::default() };
    let impatient =
        Client::new_lazy(ClientSettings { address: Address::Unix(dir.path().join("queue.sock")), ..impatient });
    assert!(matches!(impatient.stats().await, Err(QueueError::Disconnected(_))));
    let running = start(settings(dir.path())).await;
    // A repeat, for whoever did not hear the answer.
    assert_eq!(client.put(POSTS, items(0..3)).await.unwrap()[..2], [PutOutcome::Duplicate; 2]);
    let stats = client.stats().await.unwrap();
    assert_eq!((stats.queues["posts"].ready, stats.queues["results"].ready), (3, 0));
    running.stop().await;
}

#[tokio::test]
async fn tcp_works_on_any_free_port_and_a_stale_socket_file_is_replaced() {
    let dir = dir();
    let path = dir.path().join("q.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (manager, _) = open(settings(dir.path()));
    let unix = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = Listener::bind(&Address::Unix(path)).await.unwrap_err().to_string();
    assert!(taken.contains("another process answers there"), "{taken}");
    let tcp = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = tcp.address().clone();
    let serving = tokio::spawn(serve(manager, vec![unix, tcp], None, std::future::pending()));
    let client = Client::connect(ClientSettings { address, ..ClientSettings::default() }).await.unwrap();
    assert_eq!(client.put(POSTS, items(0..1)).await.unwrap(), [PutOutcome::Accepted]);
    serving.abort();
}

#[tokio::test]
async fn a_removed_socket_file_is_made_again() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let before = running.client("before").await;
    let Address::Unix(path) = &running.address else { panic!("a Unix socket") };
    std::fs::remove_file(path).unwrap();
    until("the socket file", || path.exists()).await;
    let after = running.client("after").await;
    after.put(POSTS, items(0..1)).await.unwrap();
    before.put(POSTS, items(1..2)).await.unwrap();
}
