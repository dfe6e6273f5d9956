//! An active rule over a real folder and a real store, with an upload sink that records uploads but sends nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use masv_agent::model::UploadId;
use masv_agent::model::{File, SourceFiles, State, Upload, UploadFilter, UploadSpec};
use masv_agent::store::{Store, StoreError};
use masv_agent::watch::{Answer, FileSystem, RuleStatus, SinkError, UploadSink, WatchSettings, Watcher};
use masv_platform::OwnPlaces;
use masv_rules::{RuleSet, SystemEnvironment};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine, short enough to fail in.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps orders in the store, as the queue does, and sends nothing.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Store,
    /// How many orders it refuses first, as when the disk is full.
    refuses: Arc<AtomicU32>,
}

fn refused(error: StoreError) -> SinkError {
    match error {
        StoreError::AlreadyClaimed { path } => SinkError::AlreadyClaimed(path),
        StoreError::NotFound(_) | StoreError::WrongState { .. } => SinkError::NotOpen,
        other => SinkError::Failed(other.to_string()),
    }
}

impl UploadSink for Keeper {
    fn submit(&self, spec: UploadSpec) -> Answer<'_, UploadId> {
        Box::pin(async move {
            let less = |left: u32| left.checked_sub(1);
            if self.refuses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                return Err(SinkError::Failed("no space left on device".to_owned()));
            }
            let id = UploadId::new();
            self.store.insert_upload(id, spec).await.map_err(refused)?;
            Ok(id)
        })
    }

    fn append(&self, id: UploadId, files: SourceFiles) -> Answer<'_, ()> {
        Box::pin(async move { self.store.append_files(id, files).await.map(drop).map_err(refused) })
    }

    fn finalize(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move { self.store.ask_finalize(id).await.map(drop).map_err(refused) })
    }

    fn growing_settled(&self, id: UploadId, grown: SourceFiles, more: SourceFiles) -> Answer<'_, ()> {
        Box::pin(async move { self.store.growing_settled(id, grown, more).await.map_err(refused) })
    }

    fn give_up_growing(&self, id: UploadId, reason: String) -> Answer<'_, ()> {
        Box::pin(async move { self.store.growing_given_up(id, reason).await.map_err(refused) })
    }

    fn resume(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move { self.store.try_again(id).await.map(drop).map_err(refused) })
    }

    fn resume_without_gone(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move {
            let gone = self.store.files_failed(id, 100).await.map_err(refused)?;
            self.store.leave_out(id, gone).await.map_err(refused)?;
            self.store.try_again(id).await.map(drop).map_err(refused)
        })
    }
}

/// A watched folder, a store and the rules over them.
pub struct Bench {
    pub root: TempDir,
    pub store: Store,
    pub watcher: Option<Watcher>,
    /// How many orders the outlet refuses first.
    pub refuses: Arc<AtomicU32>,
    /// Says what file system a folder is on.
    pub file_system: Option<FileSystem>,
    /// The agent's own files.
    pub own: OwnPlaces,
    /// So long what was taken away is looked after at least.
    pub shortest_care: Duration,
    /// How long packages wait for missing files.
    pub gone_wait: Duration,
}

impl Bench {
    /// A bench that is not watching yet. The folder `drop` is there.
    pub fn new() -> Self {
        // In memory where the system has such a folder: disks that are busy make tests slow, not better.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::create_dir(root.path().join("drop")).unwrap();
        let store = Store::open(&root.path().join("agent.db")).unwrap();
        Self {
            root,
            store,
            watcher: None,
            refuses: Arc::default(),
            file_system: None,
            own: OwnPlaces::default(),
            shortest_care: Duration::from_millis(300),
            gone_wait: PATIENCE,
        }
    }

    /// One active rule named `dailies` with these keys over the folder `drop`.
    pub async fn with(keys: &str) -> Self {
        let mut bench = Self::new();
        bench.start(keys).await;
        bench
    }

    pub fn rules(&self, keys: &str) -> Arc<RuleSet> {
        let lines: String = keys.lines().map(|line| format!("    {}\n", line.trim_end())).collect();
        self.rules_file(&format!("rules:\n  - name: dailies\n    watch: drop\n    upload: {{ kind: link }}\n{lines}"))
    }

    pub fn rules_file(&self, text: &str) -> Arc<RuleSet> {
        let path = self.root.path().join("rules.yaml");
        let text = format!("version: 1\n{text}");
        match masv_rules::parse(&text, &path, &SystemEnvironment) {
            Ok(rules) => Arc::new(rules),
            Err(problems) => panic!("{}\n{text}", problems.render(false)),
        }
    }

    pub async fn start(&mut self, keys: &str) {
        let rules = self.rules(keys);
        self.start_rules(rules).await;
    }

    pub async fn start_rules(&mut self, rules: Arc<RuleSet>) {
        let outlet = Arc::new(Keeper { store: self.store.clone(), refuses: Arc::clone(&self.refuses) });
        let settings = WatchSettings {
            host: "bench".to_owned(),
            own: self.own.clone(),
            file_system: self.file_system,
            shortest_care: Some(self.shortest_care),
            gone_wait: self.gone_wait,
            ..WatchSettings::default()
        };
        let watcher = Watcher::start(rules, self.store.clone(), outlet, settings, CancellationToken::new()).await;
        self.watcher = Some(watcher);
    }

    pub async fn stop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.stop().await;
        }
    }

    pub fn watcher(&self) -> &Watcher {
        self.watcher.as_ref().unwrap()
    }

    pub fn status(&self) -> RuleStatus {
        self.watcher().rule_status("dailies").unwrap()
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("drop").join(relative)
    }

    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// All uploads, oldest first.
    pub async fn uploads(&self) -> Vec<Upload> {
        let mut uploads = self.store.uploads(UploadFilter::default()).await.unwrap();
        uploads.reverse();
        uploads
    }

    pub async fn files(&self, upload: &Upload) -> Vec<File> {
        self.store.files(upload.id, None, 100_000).await.unwrap()
    }

    /// The package paths of all uploads, oldest upload first.
    pub async fn packages(&self) -> Vec<Vec<String>> {
        let mut packages = Vec::new();
        for upload in self.uploads().await {
            packages.push(self.files(&upload).await.into_iter().map(|file| file.path.to_string()).collect());
        }
        packages
    }

    /// Waits until there are so many uploads and returns their package paths.
    pub async fn packages_when(&self, count: usize) -> Vec<Vec<String>> {
        self.until(format!("{count} uploads"), async || self.uploads().await.len() >= count).await;
        self.packages().await
    }

    /// Waits until what is on disk now has been seen.
    pub async fn looked_again_without_packaging(&self) {
        let before = self.status().looks;
        self.write("..look", "");
        self.until("another look", async || self.status().looks > before).await;
    }

    /// Scans and packages the whole folder again, and waits for it.
    pub async fn looked_again(&self) {
        // The first one may be in flight, and have begun before what is to be seen was there.
        self.ready().await;
        let before = self.status().last_scan;
        self.watcher().run_now("dailies").await.unwrap();
        self.until("another look", async || self.status().last_scan != before).await;
    }

    /// Waits until the rule has looked at its folder and read its ledger.
    pub async fn ready(&self) {
        self.until("the first look", async || self.status().last_scan.is_some()).await;
    }

    /// Marks an upload complete, as the transfer engine does.
    pub async fn complete(&self, upload: &Upload) {
        for file in self.files(upload).await {
            let content = std::fs::read(file.source.whole()).unwrap_or_default();
            let checksum = blake3_hex(&content);
            self.store.file_done(upload.id, file.number, Some(checksum), None).await.unwrap();
        }
        self.store.completed(upload.id).await.unwrap();
        assert_eq!(self.store.upload(upload.id).await.unwrap().state, State::Complete);
    }

    pub async fn until(&self, what: impl std::fmt::Display, condition: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !condition().await {
            let status = self.watcher.as_ref().map(Watcher::status);
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn blake3_hex(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}
