"""The database's shape, as steps that only go forward. Applied at start, each in a transaction.

An event is stored once. That a destination has nothing to do with it, or has it still to send, is told by the event's
decision and the destination's position in the log (`lane.cursor`); only what departs from that (to be tried again,
dead, expired …) has a row of its own in `delivery`. Delivered is what a row of `attempt` says was delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlite_utils import Database, Migrations

from gateway.model.errors import OutboxError
from gateway.outbox import backup
from gateway.outbox.engine import Connection, FileLock, sqlite3, translated
from gateway.outbox.people import load_key

if TYPE_CHECKING:
    from pathlib import Path

migrations = Migrations("gateway")


@migrations()
def m001_the_log(db: Any) -> None:
    """Events in the order of acceptance."""
    db.execute(
        """
        CREATE TABLE event (
          seq INTEGER PRIMARY KEY,       -- order of acceptance, never used twice
          received_at REAL NOT NULL,     -- Unix seconds
          source TEXT NOT NULL,
          event_name TEXT NOT NULL,
          event_id TEXT NOT NULL,
          decision INTEGER NOT NULL,     -- decision.id
          payload BLOB                   -- the Event as JSON, without `clear`; NULL once its retention is over
        )"""
    )
    db.execute(
        """
        CREATE TABLE clear (             -- personal data that platforms want unhashed: short-lived
          seq INTEGER PRIMARY KEY,
          data BLOB NOT NULL             -- JSON: client_ip_address, client_user_agent, city …
        )"""
    )
    db.execute(
        """
        CREATE TABLE decision (          -- the distinct answers of the consent gate and the routing
          id INTEGER PRIMARY KEY,
          data TEXT NOT NULL             -- JSON: {"policy": …, "to": {instance: [outcome, reason, detail, rule]}}
        )"""
    )
    db.execute("CREATE UNIQUE INDEX decision_data ON decision (data)")
    db.execute(
        """
        CREATE TABLE intake (            -- one row for each commit group: the index of its events
          first_seq INTEGER PRIMARY KEY,
          count INTEGER NOT NULL,
          committed_at REAL NOT NULL,
          id_sums BLOB NOT NULL,         -- 4 bytes an event: CRC-32 of event_id, little endian
          dedup_keys BLOB NOT NULL       -- 8 bytes an event: hash of dedup group, name and id, little endian
        )"""
    )


@migrations()
def m002_the_lanes(db: Any) -> None:
    """Where each destination stands, and what departs from plain delivery."""
    db.execute(
        """
        CREATE TABLE lane (
          id INTEGER PRIMARY KEY,
          instance TEXT NOT NULL UNIQUE, -- NAME of [destinations.NAME]
          cursor INTEGER NOT NULL,       -- every event up to here is settled or has a row in delivery
          paused_at REAL,                -- Unix seconds; NULL while it runs
          pause_code TEXT NOT NULL DEFAULT '',
          pause_message TEXT NOT NULL DEFAULT '',
          frozen_s REAL NOT NULL DEFAULT 0  -- sum of past pauses: time that retry clocks do not count
        )"""
    )
    db.execute(
        """
        CREATE TABLE delivery (
          lane INTEGER NOT NULL,
          seq INTEGER NOT NULL,
          state TEXT NOT NULL,
          tries INTEGER NOT NULL,
          first_at REAL,                 -- first try, Unix seconds; NULL before it
          frozen_s REAL NOT NULL,        -- lane.frozen_s at the first try
          next_at REAL,                  -- not before, Unix seconds; NULL when the state is final
          unseen INTEGER NOT NULL,       -- an attempt may have arrived without our seeing the answer
          serial INTEGER,                -- hash of its serial key, while it waits
          code TEXT NOT NULL DEFAULT '',
          message TEXT NOT NULL DEFAULT '',
          changed_at REAL NOT NULL,
          PRIMARY KEY (lane, seq)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX delivery_due ON delivery (lane, next_at) WHERE state = 'waiting'")
    db.execute(
        "CREATE INDEX delivery_serial ON delivery (lane, serial, seq) WHERE serial IS NOT NULL AND state = 'waiting'"
    )
    db.execute("CREATE INDEX delivery_dead ON delivery (lane, changed_at) WHERE state = 'dead'")
    db.execute(
        """
        CREATE TABLE attempt (           -- one row for each HTTP try
          id INTEGER PRIMARY KEY,
          lane INTEGER NOT NULL,
          first_seq INTEGER NOT NULL,
          last_seq INTEGER NOT NULL,
          count INTEGER NOT NULL,
          seqs BLOB,                     -- 4 bytes each, offsets from first_seq; NULL when they have no gap
          started_at REAL NOT NULL,
          duration_s REAL NOT NULL,
          status INTEGER NOT NULL,       -- HTTP; 0 when no answer came
          verdict TEXT NOT NULL,         -- for all of them, or `mixed`
          code TEXT NOT NULL,
          message TEXT NOT NULL,
          request_id TEXT NOT NULL DEFAULT ''
        )"""
    )
    db.execute(
        """
        CREATE TABLE serial (            -- what a platform took of deliveries that share a serial key
          lane INTEGER NOT NULL,
          seq INTEGER NOT NULL,
          hash INTEGER NOT NULL,         -- of the key
          at REAL NOT NULL,              -- event_time, Unix seconds
          PRIMARY KEY (lane, seq)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX serial_hash ON serial (lane, hash)")
    db.execute("CREATE INDEX attempt_lane ON attempt (lane, last_seq)")
    db.execute(
        """
        CREATE TABLE receipt (           -- requests whose outcome the platform reports later
          attempt INTEGER PRIMARY KEY,
          lane INTEGER NOT NULL,
          request_id TEXT NOT NULL,
          sent_at REAL NOT NULL,
          asked INTEGER NOT NULL DEFAULT 0,
          next_at REAL NOT NULL
        )"""
    )


@migrations()
def m003_what_a_platform_blames(db: Any) -> None:
    """The field that a dead letter died of, so that dead letters can be told apart by cause."""
    db.execute("ALTER TABLE delivery ADD COLUMN field TEXT NOT NULL DEFAULT ''")


@migrations()
def m004_when_a_platform_wants_to_be_asked_again(db: Any) -> None:
    """Until when it asked to be left alone, so that a process that starts leaves it alone too."""
    db.execute("ALTER TABLE lane ADD COLUMN held_until REAL")  # Unix seconds; NULL: it did not ask


@migrations()
def m005_that_a_platform_does_not_answer(db: Any) -> None:
    """Since when a lane's breaker is open, so that the other processes and the next start know it too."""
    db.execute("ALTER TABLE lane ADD COLUMN broken_at REAL")  # Unix seconds; NULL while it is closed
    db.execute("ALTER TABLE lane ADD COLUMN broken_code TEXT NOT NULL DEFAULT ''")  # of the failure that opened it


@migrations()
def m006_what_is_left_of_a_platforms_limit(db: Any) -> None:
    """So that a process that takes over does not begin with a full allowance."""
    db.execute("ALTER TABLE lane ADD COLUMN rate_full_at REAL")  # Unix seconds; NULL: no limit, or none used of it


@migrations()
def m007_which_outcome_is_asked_for_next(db: Any) -> None:
    """While a platform's reports are late there are many of them, and the lane asks every few seconds."""
    db.execute("CREATE INDEX receipt_due ON receipt (lane, next_at)")


@migrations()
def m008_people(db: Any) -> None:
    """Whom events are about, by pseudonym, and what is remembered of people beyond their events."""
    # 12 bytes each: pseudonym, and the event's offset from first_seq; NULL when the group is about nobody
    db.execute("ALTER TABLE intake ADD COLUMN people BLOB")
    db.execute(
        """
        CREATE TABLE person (
          who INTEGER PRIMARY KEY,       -- a pseudonym: gateway/privacy/identity.py
          change INTEGER NOT NULL,       -- number of the last change
          changed_at REAL NOT NULL,      -- Unix seconds
          denied TEXT,                   -- JSON: consent taken back; NULL for none
          erased_at REAL                 -- Unix seconds: what happened until then does not come in again
        )"""
    )
    db.execute("CREATE INDEX person_change_of ON person (change)")
    db.execute("CREATE TABLE person_change (number INTEGER NOT NULL)")  # one row: of the last change
    db.execute("INSERT INTO person_change VALUES (0)")
    db.execute("CREATE TABLE key_check (pseudonym INTEGER NOT NULL)")  # tells the key that was used from another


@migrations()
def m009_the_consent_ledger(db: Any) -> None:
    """What was decided and why, in a chain of hashes: gateway/outbox/ledger.py."""
    # 16 random bytes that open its commitments in the ledger; NULL for an event from before there was one
    db.execute("ALTER TABLE event ADD COLUMN salt BLOB")
    db.execute(
        """
        CREATE TABLE ledger (
          id INTEGER PRIMARY KEY,        -- without a gap
          at REAL NOT NULL,              -- Unix seconds
          kind TEXT NOT NULL,            -- `intake`: a commit group; of others docs/ledger.md tells
          first_seq INTEGER NOT NULL,
          count INTEGER NOT NULL,
          entries BLOB NOT NULL,         -- rulings and commitments, packed; of a kind without events, JSON
          hash BLOB NOT NULL             -- SHA-256 of the row before, and of all columns of this one
        )"""
    )
    db.execute("CREATE INDEX ledger_events ON ledger (first_seq) WHERE kind = 'intake'")
    db.execute("CREATE INDEX ledger_later ON ledger (id) WHERE kind <> 'intake'")
    db.execute(
        """
        CREATE TABLE ruling (            -- the distinct decisions with what they were made from
          hash BLOB PRIMARY KEY,         -- SHA-256 of data
          data TEXT NOT NULL,            -- JSON: source, signals, policy, to
          used_at REAL NOT NULL          -- Unix seconds of the last use, as exactly as a day
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE TABLE ledger_base (id INTEGER NOT NULL, hash BLOB NOT NULL)")  # one row: the last one pruned
    db.execute("INSERT INTO ledger_base VALUES (0, zeroblob(32))")


@migrations()
def m010_visits(db: Any) -> None:
    """What joins a later event of the same visitor: gateway/privacy/visits.py."""
    db.execute(
        """
        CREATE TABLE visit (
          who INTEGER NOT NULL,          -- a pseudonym: of a person's id, a cart's or an order's
          scope INTEGER NOT NULL,        -- within what it means the same visit
          link INTEGER NOT NULL,         -- rows that were written together share it
          expires_at REAL NOT NULL,      -- Unix seconds
          data BLOB NOT NULL,            -- JSON: path → [value, when it was told, source]
          PRIMARY KEY (who, scope)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX visit_link ON visit (link)")
    db.execute("CREATE INDEX visit_expires ON visit (expires_at)")


@migrations()
def m011_imports(db: Any) -> None:
    """How far the import of a file has come, so that it goes on where it was: gateway/outbox/imports.py."""
    db.execute(
        """
        CREATE TABLE import (
          file BLOB NOT NULL,            -- SHA-256 of its content
          source TEXT NOT NULL,
          mapping BLOB NOT NULL,         -- SHA-256 of what makes events of its rows
          position INTEGER NOT NULL,     -- records of the file that are done
          tally TEXT NOT NULL,           -- JSON: what became of them
          began_at REAL NOT NULL,        -- Unix seconds
          changed_at REAL NOT NULL,
          finished_at REAL,              -- NULL while it is not
          PRIMARY KEY (file, source)
        ) WITHOUT ROWID"""
    )


@migrations()
def m012_whose_visits_they_are(db: Any) -> None:
    """Every pseudonym of whoever a visit is about: gateway/outbox/visits.py. Visits from before have none: they go."""
    db.execute(
        """
        CREATE TABLE visit_person (
          who INTEGER NOT NULL,          -- a pseudonym of the person
          link INTEGER NOT NULL,         -- visit.link
          expires_at REAL NOT NULL,      -- Unix seconds
          PRIMARY KEY (who, link)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX visit_person_link ON visit_person (link)")
    db.execute("CREATE INDEX visit_person_expires ON visit_person (expires_at)")
    db.execute("DELETE FROM visit")


@migrations()
def m013_how_long_imported_files_are(db: Any) -> None:
    """By it a file that has grown is known again."""
    db.execute("ALTER TABLE import ADD COLUMN size INTEGER")  # bytes of its content; NULL from before


def migrate(db: Connection, path: Path) -> bytes:
    """Bring the database to this version's shape. Returns the key of people's pseudonyms.

    Raises `OutboxError` for one that is not ours to change.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    lock.acquire(wait=True)
    try:
        _try_to_write(db)
        check_shape(db, path)
        migrations.apply(Database(db))
        key = load_key(db, path)
        backup.resume(db)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    finally:
        lock.release()
    return key


def check_shape(db: Connection, path: Path) -> None:
    """Raises `OutboxError` for a database that is somebody else's, or a newer version's. Changes nothing."""
    utils = Database(db)
    names = utils.table_names()
    if migrations.migrations_table not in names:  # the first table that another process may be making just now
        if names:
            raise OutboxError(f"{path}: not an outbox of the gateway; nothing was changed")
        return
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if newer := {migration.name for migration in migrations.applied(utils)} - known:
        raise OutboxError(
            f"{path}: the database was written by a newer version of the gateway ({', '.join(sorted(newer))}); "
            "nothing was changed. Run that version, or restore a backup from before the upgrade"
        )


def _try_to_write(db: Connection) -> None:
    """SQLite opens a file that can only be read all the same, and tells so at the first write. This one is undone."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("PRAGMA user_version = 0")
    finally:
        db.execute("ROLLBACK")
