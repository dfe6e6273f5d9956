//! Databases on the PostgreSQL that tests are given, each gone with its guard.
//!
//! `MASV_TEST_POSTGRES` names the folder of the server's socket; without it these tests have nothing to run on, which is a failure where
//! `MASV_TEST_REQUIRE_POSTGRES` is set. Each gets a schema of its own in one database: that is made in a few milliseconds.

use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// Tables of their own for one test.
#[derive(Debug)]
pub struct Scratch {
    socket: String,
    schema: String,
}

impl Scratch {
    /// New ones; nothing where there is no PostgreSQL for tests.
    ///
    /// # Panics
    /// Where there must be one.
    #[must_use]
    #[expect(clippy::panic, reason = "for tests alone")]
    pub fn new() -> Option<Self> {
        let Some(socket) = std::env::var("MASV_TEST_POSTGRES").ok().filter(|socket| !socket.is_empty()) else {
            let is_required = std::env::var_os("MASV_TEST_REQUIRE_POSTGRES").is_some();
            assert!(!is_required, "MASV_TEST_POSTGRES does not name a PostgreSQL");
            return None;
        };
        let schema = format!("t_{:016x}", fastrand::u64(..));
        let scratch = Self { socket, schema };
        if let Err(error) = scratch.run(format!("CREATE SCHEMA {}", scratch.schema)) {
            panic!("the PostgreSQL for tests cannot be used: {error}");
        }
        Some(scratch)
    }

    /// Cuts off all who use them.
    ///
    /// # Errors
    /// What the server says.
    pub fn cut_off(&self) -> Result<(), String> {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
            self.schema
        );
        self.run(sql)
    }

    /// Whether the hub's tests are to run on PostgreSQL.
    #[must_use]
    pub fn is_wanted() -> bool {
        std::env::var_os("MASV_TEST_ON_POSTGRES").is_some_and(|wanted| !wanted.is_empty())
    }

    /// The URL of them.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://masv@/postgres?host={}&application_name={}&options=-c%20search_path%3D{}",
            self.socket, self.schema, self.schema
        )
    }

    /// Runs statements there.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(&self, statements: String) -> Result<(), String> {
        self.ask(statements).map(drop)
    }

    /// The rows of an answer, each column as text.
    ///
    /// # Errors
    /// What the server says.
    pub fn ask(&self, statements: String) -> Result<Vec<Vec<String>>, String> {
        let mut config = Config::new();
        config.host_path(&self.socket).user("masv").dbname("postgres");
        config.options(format!("-c search_path={} -c client_min_messages=warning", self.schema));
        // On a thread of its own: a runtime must not block, nor end, in another one.
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async {
                let told = |error: tokio_postgres::Error| format!("{error} {:?}", error.as_db_error());
                let (client, connection) = config.connect(NoTls).await.map_err(told)?;
                let connection = tokio::spawn(connection);
                let outcome = client.simple_query(&statements).await.map_err(told).map(|answers| {
                    let rows = answers.into_iter().filter_map(|answer| match answer {
                        SimpleQueryMessage::Row(row) => Some(row),
                        _ => None,
                    });
                    let texts = rows.map(|row| {
                        (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect()
                    });
                    texts.collect()
                });
                drop(client);
                let _ = connection.await;
                outcome
            })
        });
        running.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.run(format!("SET lock_timeout = '5s'; DROP SCHEMA {} CASCADE", self.schema));
    }
}
