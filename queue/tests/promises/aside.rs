//! A segment that was set aside, and the life of the log after it.

use std::os::unix::fs::FileExt;

use queue::*;

use crate::support::*;

#[tokio::test]
async fn what_follows_a_segment_that_was_set_aside_is_not_missing_when_it_is_done() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 8 << 10, ..settings(dir.path()) };
    let running = start(small()).await;
    let client = running.client("one").await;
    for number in 0..40 {
        client.put(POSTS, vec![item(number, vec![0; 1000])]).await.unwrap();
    }
    running.stop().await;
    // Both copies of the beginning of the second segment.
    let segment = std::fs::File::options().write(true).open(&files(dir.path(), "log")[1]).unwrap();
    segment.write_all_at(&[0; 48], 0).unwrap();
    let running = start(small()).await;
    assert_eq!((running.recovery.damage.len(), running.recovery.damage[0].segment), (1, 2));
    let client = running.client("one").await;
    assert!(drain(&client, POSTS).await.len() > 20);
    until("what is done is removed", || files(dir.path(), "log").len() <= 1).await;
    running.stop().await;
    let running = start(small()).await;
    let Damage { segment, what, .. } = &running.recovery.damage[0];
    assert!(
        running.recovery.damage.len() == 1 && *segment == 2 && what.contains("set aside"),
        "{:?}",
        running.recovery
    );
}
