//! The hub's tables, version by version.

use masv_db::PostgresSchema;

/// The same tables in PostgreSQL. A change that an earlier version of the program cannot live with comes one release after the one that
/// can live with both, and moves `readable_from`.
pub(crate) const POSTGRES: PostgresSchema = PostgresSchema {
    migrations: &[
        include_str!("../../../migrations/hub-postgres/0001_first.sql"),
        include_str!("../../../migrations/hub-postgres/0002_counters.sql"),
        include_str!("../../../migrations/hub-postgres/0003_lists.sql"),
    ],
    readable_from: 1,
};

/// What takes the database from one version to the next; the list only ever grows.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/hub/0001_first.sql"),
    include_str!("../../../migrations/hub/0002_storage.sql"),
    include_str!("../../../migrations/hub/0003_administration.sql"),
    include_str!("../../../migrations/hub/0004_portals_close.sql"),
    include_str!("../../../migrations/hub/0005_moments.sql"),
    include_str!("../../../migrations/hub/0006_received.sql"),
    include_str!("../../../migrations/hub/0007_portal_fields.sql"),
    include_str!("../../../migrations/hub/0008_trash_and_jobs.sql"),
    include_str!("../../../migrations/hub/0009_credentials.sql"),
    include_str!("../../../migrations/hub/0010_stored.sql"),
    include_str!("../../../migrations/hub/0011_downloads.sql"),
    include_str!("../../../migrations/hub/0012_pages.sql"),
    include_str!("../../../migrations/hub/0013_several.sql"),
    include_str!("../../../migrations/hub/0014_counters.sql"),
    include_str!("../../../migrations/hub/0015_lists.sql"),
];
