// The database's history, oldest first. A landed migration is never edited; add one below.

export interface Migration {
  readonly version: number
  readonly statements: readonly string[]
}

/**
 * Conventions: ids are UUIDv7 text; times are integer milliseconds UTC; JSON columns end in `_json`;
 * sealed columns (SecretBox) end in `_sealed`; tokens are stored as SHA-256 in `hash`.
 */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    statements: [
      // The audit log: contiguous from 0, never updated, never deleted (triggers below).
      `CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        outcome TEXT NOT NULL,
        host TEXT,
        job TEXT,
        entry TEXT NOT NULL
      ) STRICT`,
      `CREATE INDEX audit_at ON audit (at)`,
      `CREATE INDEX audit_host ON audit (host, seq)`,
      `CREATE INDEX audit_job ON audit (job, seq)`,
      `CREATE INDEX audit_actor ON audit (actor, seq)`,
      `CREATE INDEX audit_action ON audit (action, seq)`,
      `CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END`,
      `CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END`,

      `CREATE TABLE api_tokens (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL,
        created_at INTEGER NOT NULL, expires_at INTEGER, last_used_at INTEGER, revoked_at INTEGER
      ) STRICT`,
      // Idempotency-Key of commands: the answer is kept for a day.
      `CREATE TABLE idempotency (
        token TEXT NOT NULL, key TEXT NOT NULL, request_hash TEXT NOT NULL, status INTEGER, answer TEXT,
        at INTEGER NOT NULL, PRIMARY KEY (token, key)
      ) STRICT`,

      `CREATE TABLE vaults (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, place_json TEXT NOT NULL, credentials_sealed TEXT,
        is_default INTEGER NOT NULL, capabilities_json TEXT, findings_json TEXT, probed_at INTEGER,
        clock_skew_ms INTEGER, clock_checked_at INTEGER, created_at INTEGER NOT NULL
      ) STRICT`,

      `CREATE TABLE enrolment_tokens (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL, vault TEXT NOT NULL REFERENCES vaults (id),
        created_by TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
        used_at INTEGER, host TEXT
      ) STRICT`,

      `CREATE TABLE hosts (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, machine TEXT NOT NULL, public_key TEXT NOT NULL UNIQUE,
        recovery_recipient TEXT, recipient TEXT NOT NULL, version TEXT NOT NULL, protocol INTEGER,
        enrolled_at INTEGER NOT NULL, last_seen INTEGER, silent_since INTEGER, boot TEXT,
        inventory_json TEXT, inventory_at INTEGER, removed_at INTEGER,
        free_state_bytes INTEGER,
        -- when a second machine with this key was last turned away with an alarm
        duplicate_at INTEGER
      ) STRICT`,
      // What the agent must sign; single use, one minute.
      `CREATE TABLE challenges (
        nonce TEXT PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, machine TEXT NOT NULL,
        time TEXT NOT NULL, hello_json TEXT NOT NULL, expires_at INTEGER NOT NULL
      ) STRICT`,
      `CREATE TABLE agent_sessions (
        id TEXT PRIMARY KEY, host TEXT NOT NULL REFERENCES hosts (id), boot TEXT NOT NULL, machine TEXT NOT NULL,
        hash TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
      ) STRICT`,
      `CREATE INDEX agent_sessions_host ON agent_sessions (host, expires_at)`,
      // Last acknowledged event of each boot: events are taken once.
      `CREATE TABLE agent_events (
        host TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (host, boot)
      ) STRICT`,

      `CREATE TABLE sources (
        host TEXT NOT NULL REFERENCES hosts (id), source TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
        details_json TEXT NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, gone_at INTEGER,
        -- the newest fence given to any job on it
        fence INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (host, source)
      ) STRICT`,

      `CREATE TABLE repositories (
        id TEXT PRIMARY KEY, host TEXT NOT NULL UNIQUE REFERENCES hosts (id), vault TEXT NOT NULL REFERENCES vaults (id),
        state TEXT NOT NULL CHECK (state IN ('absent', 'initialising', 'ready')),
        epoch INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0, config_sha256 TEXT,
        receipts INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, ready_at INTEGER,
        -- config and key files while they are being written, so that a restart can finish it
        initial_json TEXT
      ) STRICT`,
      `CREATE TABLE escrows (
        repository TEXT NOT NULL REFERENCES repositories (id), n INTEGER NOT NULL, recipient TEXT NOT NULL,
        sealed TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (repository, n)
      ) STRICT`,

      `CREATE TABLE policies (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, document_json TEXT NOT NULL, version INTEGER NOT NULL,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
        -- the next slot to be enqueued; NULL without a schedule
        next_at INTEGER, deleted_at INTEGER
      ) STRICT`,
      `CREATE INDEX policies_next ON policies (next_at)`,

      // One mover run: jobs of one repository carried out together.
      `CREATE TABLE batches (
        id TEXT PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL, kind TEXT NOT NULL,
        created_at INTEGER NOT NULL, accepted_at INTEGER, ended_at INTEGER,
        -- newest end of any URL signed for it: a second attempt waits for that
        urls_until INTEGER NOT NULL DEFAULT 0
      ) STRICT`,
      `CREATE INDEX batches_open ON batches (host, ended_at)`,
      `CREATE INDEX batches_repository ON batches (repository, ended_at)`,
      // Locks in the bucket. The row is there before the object and goes after it.
      `CREATE TABLE locks (
        repository TEXT NOT NULL, id TEXT NOT NULL, batch TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (repository, id)
      ) STRICT`,
      `CREATE INDEX locks_batch ON locks (batch)`,
      `CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, host TEXT NOT NULL REFERENCES hosts (id),
        repository TEXT NOT NULL, source TEXT, policy TEXT, policy_name TEXT,
        -- the schedule's slot it was made for; one job per policy, source and slot
        slot_at INTEGER,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
        attempt INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0, batch TEXT, lease_until INTEGER,
        not_before INTEGER NOT NULL DEFAULT 0, cancel_at INTEGER,
        parameters_json TEXT NOT NULL, progress_json TEXT,
        outcome TEXT, reason TEXT, message TEXT, counts_json TEXT, report TEXT, snapshot TEXT,
        requested_by TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER
      ) STRICT`,
      `CREATE UNIQUE INDEX jobs_slot ON jobs (policy, host, source, slot_at) WHERE slot_at IS NOT NULL`,
      // At most one pending run per policy and source; a lost attempt that waits for its next does not count.
      `CREATE UNIQUE INDEX jobs_pending ON jobs (policy, host, source)
       WHERE policy IS NOT NULL AND state = 'queued' AND attempt = 0`,
      `CREATE INDEX jobs_state ON jobs (state, host, created_at)`,
      `CREATE INDEX jobs_created ON jobs (created_at)`,
      `CREATE INDEX jobs_batch ON jobs (batch)`,

      `CREATE TABLE grants (
        batch TEXT NOT NULL, method TEXT NOT NULL, object TEXT NOT NULL, job TEXT NOT NULL, attempt INTEGER NOT NULL,
        what TEXT NOT NULL, type TEXT, bytes INTEGER NOT NULL, expires_at INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('outstanding', 'used')),
        PRIMARY KEY (batch, method, object)
      ) STRICT`,
      // Claim checks of a commit: resumable, cursor here and in objects.checked_at. From 'writing' on it can
      // only become accepted. Receipt and bytes are cleared at the end; body_sha256 tells repeats from others.
      `CREATE TABLE commits (
        job TEXT NOT NULL, attempt INTEGER NOT NULL, fence INTEGER NOT NULL, batch TEXT NOT NULL, repository TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('checking', 'writing', 'accepted', 'refused')),
        listing_cursor TEXT, code TEXT, message TEXT, snapshot TEXT NOT NULL, body_sha256 TEXT NOT NULL,
        receipt_json TEXT, signature TEXT NOT NULL, bytes TEXT, sequence INTEGER, at INTEGER NOT NULL,
        checked_at INTEGER, PRIMARY KEY (job, attempt)
      ) STRICT`,
      `CREATE INDEX commits_open ON commits (state, at)`,
      `CREATE INDEX commits_snapshot ON commits (snapshot)`,
      // The catalogue.
      `CREATE TABLE snapshots (
        id TEXT PRIMARY KEY, repository TEXT NOT NULL, host TEXT NOT NULL, source TEXT NOT NULL, job TEXT NOT NULL UNIQUE,
        tree TEXT NOT NULL, time INTEGER NOT NULL, received_at INTEGER NOT NULL, parent TEXT,
        counts_json TEXT NOT NULL, receipt_json TEXT NOT NULL, signature TEXT NOT NULL,
        outcome TEXT NOT NULL, policy_name TEXT
      ) STRICT`,
      `CREATE INDEX snapshots_source ON snapshots (host, source, time)`,
      `CREATE TABLE objects (
        repository TEXT NOT NULL, id TEXT NOT NULL, what TEXT NOT NULL, type TEXT, bytes INTEGER NOT NULL,
        job TEXT NOT NULL, stored_at INTEGER NOT NULL, checked_at INTEGER,
        PRIMARY KEY (repository, id)
      ) STRICT`,
      `CREATE INDEX snapshots_repository ON snapshots (repository, source, time)`,
      `CREATE TABLE pages (
        job TEXT NOT NULL, page INTEGER NOT NULL, last INTEGER NOT NULL, bytes TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (job, page)
      ) STRICT`,

      `CREATE TABLE queue (
        id TEXT PRIMARY KEY, topic TEXT NOT NULL, body TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
        visible_at INTEGER NOT NULL, created_at INTEGER NOT NULL
      ) STRICT`,
      `CREATE INDEX queue_visible ON queue (topic, visible_at)`,
      `CREATE TABLE alert_channels (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, settings_json TEXT NOT NULL,
        secret_sealed TEXT, minimum_level TEXT NOT NULL, created_at INTEGER NOT NULL, disabled_at INTEGER, disabled_why TEXT
      ) STRICT`,
      `CREATE TABLE alerts (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, level TEXT NOT NULL, host TEXT, job TEXT, at INTEGER NOT NULL, alert_json TEXT NOT NULL
      ) STRICT`,
      `CREATE TABLE deliveries (
        id TEXT PRIMARY KEY, alert TEXT NOT NULL REFERENCES alerts (id), channel TEXT NOT NULL, channel_name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')), attempts INTEGER NOT NULL,
        next_at INTEGER, last_error TEXT, delivered_at INTEGER, created_at INTEGER NOT NULL
      ) STRICT`,
      `CREATE INDEX deliveries_created ON deliveries (created_at)`,
      // Small facts of the plane itself: when it started, when it last ran its timers.
      `CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
    ],
  },
  {
    // Retention, prune, reconcile.
    version: 2,
    statements: [
      // Snapshots that others made have no job, receipt or outcome, so the table is made anew.
      `CREATE TABLE snapshots_2 (
        id TEXT PRIMARY KEY, repository TEXT NOT NULL, host TEXT NOT NULL, source TEXT NOT NULL, job TEXT,
        tree TEXT NOT NULL, time INTEGER NOT NULL, received_at INTEGER NOT NULL, parent TEXT,
        counts_json TEXT, receipt_json TEXT, signature TEXT, outcome TEXT, policy_name TEXT,
        -- present → forgetting (removal is under way) → forgotten; present → vanished (removed outside Holdfast)
        state TEXT NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'forgetting', 'forgotten', 'vanished')),
        state_at INTEGER,
        -- made by another program; kept until a policy claims it
        is_foreign INTEGER NOT NULL DEFAULT 0, claimed_at INTEGER,
        -- the snapshot this one is a re-tagged copy of
        original TEXT,
        -- as the snapshot itself says them, where no job of ours knows
        hostname TEXT, tags_json TEXT,
        held_at INTEGER, held_by TEXT, held_why TEXT
      ) STRICT`,
      `INSERT INTO snapshots_2 (id, repository, host, source, job, tree, time, received_at, parent, counts_json,
         receipt_json, signature, outcome, policy_name)
       SELECT id, repository, host, source, job, tree, time, received_at, parent, counts_json,
         receipt_json, signature, outcome, policy_name FROM snapshots`,
      `DROP TABLE snapshots`,
      `ALTER TABLE snapshots_2 RENAME TO snapshots`,
      // One snapshot per job; copies of it may follow.
      `CREATE UNIQUE INDEX snapshots_job ON snapshots (job) WHERE job IS NOT NULL AND original IS NULL`,
      `CREATE INDEX snapshots_source ON snapshots (host, source, time)`,
      `CREATE INDEX snapshots_repository ON snapshots (repository, source, time)`,
      `CREATE INDEX snapshots_state ON snapshots (state, state_at)`,

      // How many days a snapshot stays after it was received, and a condemned pack after it was condemned.
      `ALTER TABLE vaults ADD COLUMN retention_floor_days INTEGER NOT NULL DEFAULT 7`,
      // When its snapshots were last judged, its bucket last compared with the catalogue, its next prune is due.
      `ALTER TABLE repositories ADD COLUMN judged_at INTEGER`,
      `ALTER TABLE repositories ADD COLUMN reconciled_at INTEGER`,
      `ALTER TABLE repositories ADD COLUMN unknown_snapshots INTEGER NOT NULL DEFAULT 0`,
      `ALTER TABLE repositories ADD COLUMN prune_at INTEGER`,
      `ALTER TABLE repositories ADD COLUMN pruned_at INTEGER`,

      // What a prune said it would take away, and what it was told.
      `CREATE TABLE proposals (
        job TEXT NOT NULL, attempt INTEGER NOT NULL, unreferenced_bytes INTEGER NOT NULL, repack_bytes INTEGER NOT NULL,
        packs INTEGER NOT NULL, own_bytes INTEGER NOT NULL, decision TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (job, attempt)
      ) STRICT`,
      // Ends of prunes: from 'removing' on they can only become accepted. Body and cursor are cleared at the end.
      `CREATE TABLE retirements (
        job TEXT NOT NULL, attempt INTEGER NOT NULL, fence INTEGER NOT NULL, batch TEXT NOT NULL, repository TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('checking', 'removing', 'accepted', 'refused')),
        removed INTEGER NOT NULL DEFAULT 0, code TEXT, message TEXT, body_sha256 TEXT NOT NULL,
        retirement_json TEXT, signature TEXT NOT NULL, at INTEGER NOT NULL, ended_at INTEGER,
        PRIMARY KEY (job, attempt)
      ) STRICT`,
      `CREATE INDEX retirements_open ON retirements (state, at)`,
      // Packs that no index file lists any more: condemned → deleting → deleted.
      `CREATE TABLE condemned (
        repository TEXT NOT NULL, id TEXT NOT NULL, bytes INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('condemned', 'deleting', 'deleted')),
        -- packs that hold what kept snapshots still need of it
        heirs_json TEXT NOT NULL, job TEXT NOT NULL, at INTEGER NOT NULL,
        -- a later prune found it unreferenced again
        confirmed_at INTEGER, confirmed_by TEXT, deleted_at INTEGER,
        PRIMARY KEY (repository, id)
      ) STRICT`,
      `CREATE INDEX condemned_state ON condemned (state, at)`,
    ],
  },
  {
    // Repositories that were there before us.
    version: 3,
    statements: [
      `ALTER TABLE repositories ADD COLUMN place TEXT`,
      // Two hosts never share one.
      `CREATE UNIQUE INDEX repositories_place ON repositories (vault, place) WHERE place IS NOT NULL`,
    ],
  },
]
