//! The barrier's statements and what they return; SQLite and PostgreSQL read the same text,
//! MySQL has its own.
//!
//! Parameters: `$1` gid, `$2` branch, `$3` origin, `$4` begun, `$5` the limit seen. A row below
//! the limit of its own log counts as absent and is replaced; `prev` then holds its former state
//! negated. A call below the limit that is written down, or begun before its row by the clock of
//! the same log, finds no row and writes none.

use super::Met;
use wholly_core::barrier::State;
use wholly_core::ids::{Body, Code, Text};
use wholly_core::time::Timestamp;

/// Whether row `b` counts as absent.
macro_rules! absent {
    () => {
        "(b.begun < coalesce((SELECT l.limit_ms FROM wholly_barrier_limit l
             WHERE l.origin = b.origin), 0)
           OR (b.origin = $3 AND b.begun < $5))"
    };
}

/// Whether row `b` was begun after the call, in the same log: then it is of a later use of the gid.
/// A statement that waits for the row looks here at what it waited for, whatever the limits were
/// when it began.
macro_rules! later {
    () => {
        "(b.origin = $3 AND b.begun > $4)"
    };
}

/// The limit that is written down for the call's log.
macro_rules! written {
    () => {
        "coalesce((SELECT l.limit_ms FROM wholly_barrier_limit l WHERE l.origin = $3), 0)"
    };
}

/// Inserts a row in a state, or turns the row there is; the former state comes back.
macro_rules! insert {
    ($state:literal, $code:literal, $detail:literal, $turned:literal) => {
        concat!(
            "INSERT INTO wholly_barrier AS b
               (gid, branch, state, prev, origin, begun, code, detail)
             SELECT $1, $2, ",
            $state,
            ", 0, $3, $4, ",
            $code,
            ", ",
            $detail,
            "
             WHERE $4 >= ",
            written!(),
            "
             ON CONFLICT (gid, branch) DO UPDATE SET
               prev = CASE WHEN ",
            absent!(),
            " THEN -b.state ELSE b.state END,
               state = CASE WHEN ",
            absent!(),
            " THEN ",
            $state,
            $turned,
            " ELSE b.state END,
               reply = CASE WHEN ",
            absent!(),
            " THEN NULL ELSE b.reply END,
               code = CASE WHEN ",
            absent!(),
            " THEN excluded.code ELSE b.code END,
               detail = CASE WHEN ",
            absent!(),
            " THEN excluded.detail ELSE b.detail END,
               origin = CASE WHEN ",
            absent!(),
            " THEN excluded.origin ELSE b.origin END,
               begun = CASE WHEN ",
            absent!(),
            " THEN excluded.begun ELSE b.begun END
             WHERE NOT ",
            later!(),
            "
             RETURNING prev, reply, code, detail"
        )
    };
}

pub(super) const MEET_FIRST: &str = insert!("1", "NULL", "NULL", "");
pub(super) const MEET_UNDO: &str = insert!("4", "NULL", "NULL", " WHEN b.state = 1 THEN 3");
/// `$6` code, `$7` detail.
pub(super) const MEET_REFUSED: &str = insert!("5", "$6", "$7", "");

pub(super) const MEET_CONFIRM: &str = concat!(
    "UPDATE wholly_barrier AS b
     SET prev = b.state, state = CASE WHEN b.state = 1 THEN 2 ELSE b.state END
     WHERE b.gid = $1 AND b.branch = $2 AND NOT ",
    absent!(),
    " AND NOT ",
    later!(),
    " AND $4 >= ",
    written!(),
    "
     RETURNING prev, reply, code, detail"
);

/// One row always: below what a call is stale, and the branch's row if there is one.
pub(super) const FIND: &str = concat!(
    "SELECT CASE WHEN ",
    later!(),
    " THEN b.begun ELSE ",
    written!(),
    " END AS floor, b.state, b.reply, b.code, b.detail
     FROM (SELECT 1 AS one) AS o
     LEFT JOIN wholly_barrier AS b ON b.gid = $1 AND b.branch = $2 AND NOT ",
    absent!()
);

/// `$1` gid, `$2` branch, `$3` reply. Finds one row unless the handler ended the transaction.
pub(super) const KEEP: &str =
    "UPDATE wholly_barrier SET reply = $3 WHERE gid = $1 AND branch = $2 AND state = 1";

/// `$1` gid, `$2` branch. Finds one row unless the transaction that turned it was ended.
#[cfg(feature = "postgres")]
pub(super) const TURNED: &str =
    "SELECT 1 FROM wholly_barrier WHERE gid = $1 AND branch = $2 AND state IN (2, 3)";

/// `$1` origin, `$2` limit.
pub(super) const RAISE: &str = "INSERT INTO wholly_barrier_limit AS l (origin, limit_ms)
     VALUES ($1, $2)
     ON CONFLICT (origin) DO UPDATE SET limit_ms = excluded.limit_ms
     WHERE l.limit_ms < excluded.limit_ms";

/// `$1` origin, `$2` the limit, `$3` rows. The outer condition is the inner one again: a row that
/// is replaced while this waits for it must stay.
pub(super) const CLEAR: &str = "DELETE FROM wholly_barrier
     WHERE origin = $1
       AND begun < $2
       AND (gid, branch) IN (
         SELECT o.gid, o.branch FROM wholly_barrier o
         WHERE o.origin = $1 AND o.begun < $2
         ORDER BY o.begun LIMIT $3)";

/// The columns of a row, as a statement returns them.
pub(super) struct Columns {
    pub(super) code: i16,
    pub(super) reply: Option<Vec<u8>>,
    pub(super) refusal: Option<String>,
    pub(super) detail: Option<String>,
}

impl Columns {
    /// The state before the statement: nought is no row, negative one that was replaced.
    pub(super) fn met(self) -> Result<Met, sqlx::Error> {
        match self.code {
            0 => Ok(Met::Nothing),
            code if code < 0 => Ok(Met::Absent),
            _ => self.state().map(Met::State),
        }
    }

    fn state(self) -> Result<State, sqlx::Error> {
        let reply = Body::new(self.reply.as_deref().unwrap_or_default());
        match self.code {
            1 => Ok(State::Tried { reply }),
            2 => Ok(State::Confirmed { reply }),
            3 => Ok(State::Cancelled { reply }),
            4 => Ok(State::NullCancelled),
            5 => {
                let code = Code::new(self.refusal.as_deref().unwrap_or_default());
                Ok(State::Refused {
                    code: code.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                    detail: Text::cut(self.detail.as_deref().unwrap_or_default()),
                })
            }
            other => Err(sqlx::Error::Decode(
                format!("wholly_barrier.state is {other}; a later release may have written it")
                    .into(),
            )),
        }
    }
}

/// A time as a BIGINT; what lies beyond is as far as it goes.
pub(super) fn bigint(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A reply as a column: none where it says nothing.
pub(super) fn blob(reply: &Body) -> Option<&[u8]> {
    (!reply.is_empty()).then(|| reply.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_its_code_says() {
        let reply = Body::new(b"7");
        let (code, detail) = (Code::new("out_of_stock").unwrap(), Text::cut("none left"));
        for state in [
            State::Tried { reply: reply.clone() },
            State::Confirmed { reply: reply.clone() },
            State::Cancelled { reply: reply.clone() },
            State::NullCancelled,
            State::Refused { code, detail },
        ] {
            let columns = |code| Columns {
                code,
                reply: Some(b"7".to_vec()),
                refusal: Some("out_of_stock".into()),
                detail: Some("none left".into()),
            };
            assert_eq!(columns(state.code()).met().unwrap(), Met::State(state.clone()));
            assert_eq!(columns(-state.code()).met().unwrap(), Met::Absent);
        }
        let later = Columns { code: 6, reply: None, refusal: None, detail: None };
        assert!(later.met().unwrap_err().to_string().contains("a later release"));
    }
}
