use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn listener(events: &Events, root: &Path, folders: &[&str]) -> (Listener, Receiver<FsEvent>) {
    let (sent, received) = channel();
    let sent = Mutex::new(sent);
    let tell: Tell = Arc::new(move |event| {
        let _ = locked(&sent).send(event);
    });
    let listener = events.listen(root, tell).unwrap();
    folders.iter().for_each(|folder| listener.watch(Path::new(folder)).unwrap());
    (listener, received)
}

/// Writes a file, and says how a listener is told that it is complete.
fn written(path: PathBuf, told: &str) -> FsEvent {
    std::fs::write(path, "content").unwrap();
    at(FsChange::Closed, told)
}

fn at(change: FsChange, path: &str) -> FsEvent {
    FsEvent::At(change, PathBuf::from(path))
}

/// Everything that is told until an event comes.
fn until(received: &Receiver<FsEvent>, last: &FsEvent) -> Vec<FsEvent> {
    let mut told = Vec::new();
    let until = Instant::now() + LONG;
    while told.last() != Some(last) {
        let left = until.saturating_duration_since(Instant::now());
        told.push(received.recv_timeout(left).unwrap_or_else(|_| panic!("{last:?} is not told; {told:?}")));
    }
    told
}

/// Events with one instance, which all listeners share.
fn shared() -> (tempfile::TempDir, Events, Arc<Instance>) {
    let events = Events::default();
    let instance = Instance::begin().unwrap();
    let mut instances = locked(&events.instances);
    (0..MOST_INSTANCES).for_each(|_| instances.push(Arc::downgrade(&instance)));
    drop(instances);
    (tempfile::tempdir().unwrap(), events, instance)
}

/// The kernel has one descriptor for a folder, by whatever path it is asked for: whoever came first was told nothing any more.
#[test]
fn who_watches_the_same_folder_by_another_path_or_from_above_is_told_as_if_alone() {
    let (folder, events, instance) = shared();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("drop/card/clips")).unwrap();
    std::os::unix::fs::symlink(path("drop"), path("link")).unwrap();
    let (_above, above) = listener(&events, &path("drop"), &["", "card", "card/clips"]);
    let (by_link, linked) = listener(&events, &path("link"), &["", "card", "card/clips"]);
    let (_within, within) = listener(&events, &path("drop/card"), &["", "clips"]);
    assert_eq!(instance.watches().watched.len(), 3);
    let told = written(path("drop/card/clips/a.mov"), "card/clips/a.mov");
    until(&above, &told);
    until(&linked, &told);
    until(&within, &at(FsChange::Closed, "clips/a.mov"));
    // One that leaves takes no other's watch along.
    drop(by_link);
    assert_eq!(instance.watches().watched.len(), 3);
    let told = written(path("drop/card/b.mov"), "card/b.mov");
    until(&above, &told);
    until(&within, &at(FsChange::Closed, "b.mov"));
    assert!(linked.try_iter().all(|event| event != told));
}

#[test]
fn many_listeners_share_few_instances_and_the_last_that_leaves_ends_one() {
    let folder = tempfile::tempdir().unwrap();
    let events = Events::default();
    let mut listeners: Vec<_> = (0..100)
        .map(|number| {
            let name = number.to_string();
            std::fs::create_dir(folder.path().join(&name)).unwrap();
            listener(&events, &folder.path().join(name), &[""])
        })
        .collect();
    let instances = locked(&events.instances).iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
    let busy: BTreeSet<usize> = instances.iter().map(|one| one.watches().listeners.len()).collect();
    assert_eq!(
        (instances.len(), busy),
        (MOST_INSTANCES, BTreeSet::from([100 / MOST_INSTANCES, 100 / MOST_INSTANCES + 1]))
    );
    for (number, (_, received)) in listeners.iter().enumerate() {
        until(received, &written(folder.path().join(number.to_string()).join("a"), "a"));
    }
    let sources: Vec<Weak<Source>> = instances.iter().map(|one| Arc::downgrade(&one.source)).collect();
    drop(instances);
    let first = listeners.remove(0);
    drop(listeners);
    let left = || sources.iter().filter(|source| source.upgrade().is_some()).count();
    let began = Instant::now();
    while left() > 1 {
        assert!(began.elapsed() < LONG, "{} threads", left());
        std::thread::yield_now();
    }
    until(&first.1, &written(folder.path().join("0/b"), "b"));
}

/// Its descriptor stays the same when a folder moves, and so would the path.
#[test]
fn a_folder_that_moved_is_told_by_its_new_path_once_it_is_watched_there() {
    let (folder, events, instance) = shared();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("old/below")).unwrap();
    let (one, told) = listener(&events, folder.path(), &["", "old", "old/below"]);
    std::fs::rename(path("old"), path("new")).unwrap();
    let moved = FsEvent::Renamed { from: PathBuf::from("old"), to: PathBuf::from("new") };
    let before = until(&told, &moved);
    assert!(
        before.contains(&at(FsChange::Left, "old")) && before.contains(&at(FsChange::Arrived, "new")),
        "{before:?}"
    );
    assert_eq!(instance.watches().watched.len(), 1, "what was watched below it is not watched any more");
    one.watch(Path::new("new")).unwrap();
    one.watch(Path::new("new/below")).unwrap();
    until(&told, &written(path("new/below/a.mov"), "new/below/a.mov"));
    // Watched by its new path before it is told that it has left the old one.
    std::fs::rename(path("new"), path("newer")).unwrap();
    one.watch(Path::new("newer/below")).unwrap();
    until(&told, &at(FsChange::Arrived, "newer"));
    until(&told, &written(path("newer/below/b.mov"), "newer/below/b.mov"));
}

#[test]
fn a_folder_that_is_removed_and_made_again_can_be_watched_again() {
    let (folder, events, instance) = shared();
    let path = folder.path().join("card");
    std::fs::create_dir(&path).unwrap();
    let (one, told) = listener(&events, folder.path(), &["", "card"]);
    std::fs::remove_dir(&path).unwrap();
    until(&told, &at(FsChange::Removed, "card"));
    std::fs::create_dir(&path).unwrap();
    until(&told, &at(FsChange::Other, "card"));
    one.watch(Path::new("card")).unwrap();
    until(&told, &written(path.join("a.mov"), "card/a.mov"));
    assert_eq!(instance.watches().watched.len(), 2);
    assert!(one.watch(Path::new("nowhere")).is_err());
}

/// Renamed between two listeners, a file leaves the one and arrives at the other.
#[test]
fn only_who_watches_both_ends_of_a_renaming_is_told_that_it_is_one() {
    let (folder, events, _instance) = shared();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("a")).unwrap();
    std::fs::create_dir_all(path("b")).unwrap();
    std::fs::write(path("a/clip.mov"), "content").unwrap();
    let (_all, all) = listener(&events, folder.path(), &["", "a", "b"]);
    let (_from, from) = listener(&events, &path("a"), &[""]);
    let (_to, to) = listener(&events, &path("b"), &[""]);
    std::fs::rename(path("a/clip.mov"), path("b/clip.mov")).unwrap();
    until(&all, &FsEvent::Renamed { from: PathBuf::from("a/clip.mov"), to: PathBuf::from("b/clip.mov") });
    until(&from, &at(FsChange::Left, "clip.mov"));
    until(&to, &at(FsChange::Arrived, "clip.mov"));
    for told in [from, to] {
        assert!(told.try_iter().all(|event| !matches!(event, FsEvent::Renamed { .. })));
    }
}

#[test]
fn when_nobody_reads_any_more_all_are_told_and_the_next_begin_anew() {
    let (folder, events, instance) = shared();
    let (dead, told) = listener(&events, folder.path(), &[""]);
    drop(Reading(Arc::clone(&instance.source)));
    until(&told, &FsEvent::Ended);
    assert!(dead.watch(Path::new("")).is_err());
    let (_anew, told) = listener(&events, folder.path(), &[""]);
    until(&told, &written(folder.path().join("a.mov"), "a.mov"));
}

#[test]
fn lost_events_are_told_to_all_who_share_them() {
    let (folder, events, instance) = shared();
    let listeners = [listener(&events, folder.path(), &[""]), listener(&events, folder.path(), &[""])];
    let (told, _) = instance.watches().take(-1, ReadFlags::QUEUE_OVERFLOW, 0, None);
    told.into_iter().for_each(|(tell, event)| tell(event));
    listeners.iter().for_each(|(_, received)| drop(until(received, &FsEvent::Lost)));
}
