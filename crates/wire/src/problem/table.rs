//! The one table of codes: status, retry and page of everything that can be refused.

use super::row::{Grpc, Page, Retry, Row, code};

const NOTHING: &str = "Nothing was changed by this request.";

use Grpc::{
    AlreadyExists, DataLoss, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument,
    NotFound, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable, Unimplemented,
};
use Retry::{Later, Never, Now};

/// Every code, by its kind.
pub const TABLE: &[Row] = &[
    // Names that are in use.
    code(
        "gid_taken",
        (409, AlreadyExists, Never),
        "The gid names another transaction",
        Page {
            happened: "A transaction with this gid exists, and it is not the one that this \
                       request describes: another plan, another begin, or a begin without an \
                       idempotency key.",
            data: "Nothing was changed by this request; the existing transaction goes on as it \
                 was.",
            advice: "Ask for the gid to see what it is. For a fresh attempt at the same business \
                 act take another gid, as order-4711.2; a gid is not used again, not after an \
                 abort either. To make a begin repeatable, send an idempotency key.",
        },
    ),
    code(
        "idempotency_mismatch",
        (409, AlreadyExists, Never),
        "The idempotency key was used with another body",
        Page {
            happened: "A begin with this idempotency key was accepted before, and its body said \
                       something else.",
            data: "Nothing was changed by this request; the transaction begun first goes on as it \
                 was.",
            advice: "Send the same body to get the same answer, or take another key for another \
                 transaction.",
        },
    ),
    code(
        "branch_taken",
        (409, AlreadyExists, Never),
        "The branch is registered with other content",
        Page {
            happened: "The transaction has a branch of this name, and its mode, destination, \
                       operation, payload or caller differs from this request.",
            data: "Nothing was changed by this request; the branch registered first stays as it \
                 was.",
            advice: "Take another name for another branch. The same registration may be repeated \
                 only as it was.",
        },
    ),
    // States in which this cannot be done.
    code(
        "decided",
        (409, FailedPrecondition, Never),
        "The transaction is decided",
        Page {
            happened: "The transaction was decided before this request, or has left the phase in \
                       which this can be done. How it stands is in the field transaction.",
            data: "The decision stands and never changes; every branch is being made to follow \
                 it, or has followed.",
            advice: "Read decision and cause in the field transaction, and tell your user that. \
                 For another attempt begin a transaction with another gid.",
        },
    ),
    code(
        "not_open",
        (409, FailedPrecondition, Never),
        "A plan decides itself",
        Page {
            happened: "The transaction was handed over as a plan, so nothing can be registered or \
                       committed from outside.",
            data: "Nothing was changed by this request; the steps go on.",
            advice: "Wait for the transaction, or abort it while it is not decided.",
        },
    ),
    code(
        "not_stuck",
        (409, FailedPrecondition, Never),
        "The branch is not stuck",
        Page {
            happened: "Only a stuck branch is resolved by hand; this one is still being called, \
                       or has followed the decision.",
            data: "Nothing was changed by this request; the branch is called until it has \
                 followed.",
            advice: "Look at the transaction. To take a branch out of the coordinator's hands, \
                 park the transaction first.",
        },
    ),
    code(
        "already_ended",
        (409, FailedPrecondition, Never),
        "The transaction has ended",
        Page {
            happened: "Every branch is where it stays, so there is nothing to operate on.",
            data: "The outcome stands and never changes.",
            advice: "Read the outcome; if it is mixed or hazard, set the participant's data right \
                 by hand.",
        },
    ),
    code(
        "wrong_phase",
        (409, FailedPrecondition, Never),
        "Not in this phase",
        Page {
            happened: "This action of an operator cannot be done while the transaction is in its \
                       present phase; the detail says what would have to be.",
            data: NOTHING,
            advice: "Look at the transaction, and choose the action that fits.",
        },
    ),
    code(
        "unaccounted",
        (409, FailedPrecondition, Later),
        "What was decided is not known since a restore",
        Page {
            happened: "The coordinator's data folder was restored from an older copy, in which \
                       this transaction was undecided. What was decided of it since is lost with \
                       the rest of the log, so neither a request nor a deadline decides it: it \
                       may have been committed already.",
            data: "Nothing was changed by this request. The coordinator reads the participants' \
                   barrier rows: where they prove the decision, it follows it; otherwise the \
                   transaction stays parked until an operator decides.",
            advice: "Ask again later. As an operator, look with `wholly tx show`: `wholly tx \
                     retry` reads the rows again, `wholly tx commit` or `wholly tx abort` decides.",
        },
    ),
    // What is not there.
    code(
        "gid_unknown",
        (404, NotFound, Later),
        "No such transaction is known",
        Page {
            happened: "The coordinator knows no transaction of this gid. That is not final: its \
                       begin may still be on its way.",
            data: "Nothing can be concluded from this answer; it says neither committed nor \
                 aborted.",
            advice: "Check the gid. Whoever holds the capability can abort: that settles it for \
                 good, also if the begin was lost.",
        },
    ),
    code(
        "unknown",
        (410, NotFound, Never),
        "The outcome may have been forgotten",
        Page {
            happened: "The transaction may have ended so long ago that the coordinator has \
                       dropped it, by retention time or for want of room. Or the coordinator was \
                       restored from an older copy, and it was begun after that copy was made.",
            data: "Ended, it was decided, and its branches followed; which way is not known here \
                 any longer. Begun after a copy, its branches stand as they were left.",
            advice: "Ask the participants' own data, or your records of that time. To keep \
                 outcomes longer, raise the retention time.",
        },
    ),
    code(
        "branch_unknown",
        (404, NotFound, Never),
        "No such branch",
        Page {
            happened: "The transaction has no branch of the name in this request.",
            data: "Nothing was changed by this request; in particular nothing was decided.",
            advice: "Take the name from the transaction's own branches, as wholly tx show lists \
                 them. An initiator registers a branch before it names it.",
        },
    ),
    code(
        "route_unknown",
        (404, Unimplemented, Never),
        "No such path",
        Page {
            happened: "The coordinator serves nothing under this path.",
            data: NOTHING,
            advice: "Compare with /v1/openapi.json, which lists every path.",
        },
    ),
    code(
        "method_not_allowed",
        (405, Unimplemented, Never),
        "Not with this method",
        Page {
            happened: "The path exists, but takes other methods; the header allow names them.",
            data: NOTHING,
            advice: "Use one of the methods in the header allow.",
        },
    ),
    // Requests that are wrong in themselves.
    code(
        "malformed_json",
        (400, InvalidArgument, Never),
        "The body is not JSON",
        Page {
            happened: "The body could not be read as JSON, or names a field twice.",
            data: NOTHING,
            advice: "Send one JSON object; the detail says where reading stopped.",
        },
    ),
    code(
        "unknown_field",
        (400, InvalidArgument, Never),
        "A field that does not exist",
        Page {
            happened: "The body or the query names a field that the coordinator does not know. It \
                       is refused and not passed over, since it may have been meant to change \
                       what happens.",
            data: NOTHING,
            advice: "Correct the name, or leave it out; /v1/openapi.json lists every field.",
        },
    ),
    code(
        "field_missing",
        (400, InvalidArgument, Never),
        "A field is missing",
        Page {
            happened: "A field that must be there is not.",
            data: NOTHING,
            advice: "Add the field that the detail names.",
        },
    ),
    code(
        "field_invalid",
        (400, InvalidArgument, Never),
        "A field has a value that cannot be",
        Page {
            happened: "A field, a parameter or a name in the path has a value outside of what it \
                       may hold.",
            data: NOTHING,
            advice: "Correct the field that the detail names.",
        },
    ),
    code(
        "plan_invalid",
        (400, InvalidArgument, Never),
        "The plan cannot be carried out",
        Page {
            happened: "The plan has no step, a step twice, a step that names one that does not \
                       exist, a circle, a read of a step that need not be done before, or a \
                       forward-only step before a reversible one.",
            data: "Nothing was changed by this request; no participant was called.",
            advice: "Correct the plan as the detail says, and submit it under the same gid.",
        },
    ),
    code(
        "branch_invalid",
        (400, InvalidArgument, Never),
        "The branch cannot be what it asks to be",
        Page {
            happened: "The branch's mode, caller or place does not fit its transaction.",
            data: "Nothing was changed by this request; no participant was called.",
            advice: "Correct the branch as the detail says.",
        },
    ),
    code(
        "branch_contradicted",
        (400, InvalidArgument, Never),
        "A branch is named both tried and refused",
        Page {
            happened: "The commit says of one branch that its try was done and that it was \
                       refused.",
            data: "Nothing was decided by this request; the transaction is open as before.",
            advice: "Name each branch once: as tried if its try was done, as refused if it was \
                 refused.",
        },
    ),
    code(
        "destination_unknown",
        (400, InvalidArgument, Never),
        "The destination is not configured",
        Page {
            happened: "The request names a destination that the coordinator's configuration does \
                       not; it calls no other address.",
            data: "Nothing was changed by this request; no participant was called.",
            advice: "Correct the name, or add the destination to the configuration; it is read \
                 again without a restart.",
        },
    ),
    code(
        "idempotency_key_invalid",
        (400, InvalidArgument, Never),
        "The idempotency key is none",
        Page {
            happened: "The header idempotency-key is empty, too long, or holds blanks or other \
                       than printable ASCII characters.",
            data: NOTHING,
            advice: "Send 1 to 512 printable ASCII characters, as a UUID.",
        },
    ),
    code(
        "content_type",
        (415, InvalidArgument, Never),
        "The body is not declared as JSON",
        Page {
            happened: "The header content-type is missing or names something other than \
                       application/json.",
            data: NOTHING,
            advice: "Send content-type: application/json.",
        },
    ),
    code(
        "too_large",
        (413, ResourceExhausted, Never),
        "Over a limit",
        Page {
            happened: "The request is over a limit, which the detail names with its value.",
            data: NOTHING,
            advice: "Send less, or raise the limit in the configuration. Keep large matter in \
                 your own store and send its id.",
        },
    ),
    code(
        "header_too_large",
        (431, ResourceExhausted, Never),
        "The headers are over their limit",
        Page {
            happened: "The headers of the request are larger than header_bytes_max.",
            data: NOTHING,
            advice: "Send less; cookies and traces of proxies are the usual cause.",
        },
    ),
    code(
        "request_timeout",
        (408, DeadlineExceeded, Now),
        "The request did not arrive in time",
        Page {
            happened: "The body of the request was not complete within its time, so it was not \
                       read to the end.",
            data: NOTHING,
            advice: "Send it again; if it happens often, look at the network between.",
        },
    ),
    // Who asks, and what it may not.
    code(
        "credential_missing",
        (401, Unauthenticated, Never),
        "Nobody says who asks",
        Page {
            happened: "This coordinator knows who may ask, and the request carries no header \
                       authorization with id and secret.",
            data: NOTHING,
            advice: "Send the credential: WHOLLY_ID and WHOLLY_SECRET for the SDK and the command \
                     line, `curl -u ID:SECRET` by hand.",
        },
    ),
    code(
        "credential_wrong",
        (401, Unauthenticated, Never),
        "Not a credential of this coordinator",
        Page {
            happened: "The configuration names no credential of that id, or it has another secret.",
            data: NOTHING,
            advice: "Send a credential that the configuration names under [credentials]. While a \
                     secret is changed, let the coordinator know both.",
        },
    ),
    code(
        "role_forbidden",
        (403, PermissionDenied, Never),
        "The credential is for something else",
        Page {
            happened: "The asker is known, but its credential has another role than this asks for.",
            data: NOTHING,
            advice: "Use a credential of the role that the detail names; the page on identity has \
                     who may ask what.",
        },
    ),
    code(
        "capability_missing",
        (403, PermissionDenied, Never),
        "No capability was shown",
        Page {
            happened: "Register, commit and abort need the capability that the begin returned, in \
                       the header wholly-capability.",
            data: NOTHING,
            advice: "Send the capability along. If its begin's answer was lost: repeat the begin \
                 with the same idempotency key, or submit the same plan again.",
        },
    ),
    code(
        "capability_wrong",
        (403, PermissionDenied, Never),
        "The capability is of another transaction",
        Page {
            happened: "The header wholly-capability is not one that this coordinator made for \
                       this gid.",
            data: NOTHING,
            advice: "Send the capability that the begin of this very transaction returned, \
                 unchanged. A coordinator on another data folder has another key.",
        },
    ),
    code(
        "host_forbidden",
        (403, PermissionDenied, Never),
        "Not this coordinator's host name",
        Page {
            happened: "The request names a host that the coordinator does not answer for. Web \
                       pages can make a browser send such requests to loopback addresses.",
            data: NOTHING,
            advice: "Use the coordinator's own address, or add the name to the configuration \
                 (hosts).",
        },
    ),
    code(
        "origin_forbidden",
        (403, PermissionDenied, Never),
        "Web pages are refused",
        Page {
            happened: "The request carries a header origin, so a web page of another host made it.",
            data: NOTHING,
            advice: "Ask from a program, not from a page.",
        },
    ),
    // What passes.
    code(
        "open_full",
        (503, ResourceExhausted, Later),
        "As many transactions are open as may be",
        Page {
            happened: "The limit open_max is reached.",
            data: "Nothing was begun; open transactions go on.",
            advice: "Try again later. If it stays so, look at what the open transactions wait \
                 for: wholly tx list.",
        },
    ),
    code(
        "open_bytes_full",
        (503, ResourceExhausted, Later),
        "Open transactions hold as many bytes as they may",
        Page {
            happened: "Payloads and replies of open transactions, kept in memory until these end, \
                       have reached open_bytes_max; the last eighth is kept for branches that \
                       open transactions add.",
            data: "Nothing was changed by this request; open transactions go on and make room as \
                   they end.",
            advice: "Try again later. If it stays so, look at what the open transactions wait \
                 for: wholly status. Smaller payloads, as an id instead of a document, help most; \
                 else raise transactions.open_bytes_max.",
        },
    ),
    code(
        "destinations_full",
        (503, ResourceExhausted, Later),
        "Open transactions name as many destinations as they may",
        Page {
            happened: "The request names a destination that no open transaction does, and the \
                       limit destinations_max is reached; only patterns can lead to so many.",
            data: NOTHING,
            advice: "Try again later. If it stays so, look at which destinations are waited for: \
                 wholly destination list; or raise calls.destinations_max.",
        },
    ),
    code(
        "lookups_full",
        (503, ResourceExhausted, Later),
        "As many look-ups are waited for as may",
        Page {
            happened: "The request is about a gid that is not open, so the log must be asked \
                       first, and lookups_max requests wait for that already.",
            data: "Nothing was changed by this request; those about open transactions are \
                   answered as ever.",
            advice: "Try again later. If it stays so, the disk is slow, or somebody asks for \
                 many gids that have ended.",
        },
    ),
    code(
        "inbox_full",
        (503, ResourceExhausted, Later),
        "As many requests wait to be looked at as may",
        Page {
            happened: "Requests come faster than the coordinator takes them: inbox_max of them \
                       wait.",
            data: NOTHING,
            advice: "Try again later. If it stays so, the coordinator has too little of the \
                 processor.",
        },
    ),
    code(
        "log_full",
        (503, ResourceExhausted, Later),
        "The log is at its limit, or the disk",
        Page {
            happened: "The log has reached log_bytes_max, mostly because transactions stay open; \
                       or the disk has less room than disk_free_bytes_min.",
            data: "Nothing was begun; open transactions go on and make room as they end.",
            advice: "Try again later; look at the room of the disk and at the oldest open \
                     transactions, or raise log_bytes_max.",
        },
    ),
    code(
        "waiters_full",
        (503, ResourceExhausted, Later),
        "As many requests wait as may",
        Page {
            happened: "So many requests wait for a decision or an end that no more are taken.",
            data: "Nothing was changed: only a request that does no more than wait is refused.",
            advice: "Ask for the transaction without waiting, or again later.",
        },
    ),
    code(
        "bodies_full",
        (503, ResourceExhausted, Later),
        "Bodies take as much room as they may",
        Page {
            happened: "Clients send as many bytes of request bodies at once as bodies_bytes_max \
                       allows, all together, or this one half of them. Bodies up to 16 KiB are \
                       not counted.",
            data: NOTHING,
            advice: "Wait as the header retry-after says and send it again. If it happens often, \
                     raise requests.bodies_bytes_max, or send the id of large matter.",
        },
    ),
    code(
        "connections_full",
        (429, ResourceExhausted, Later),
        "As many connections from one address as may be",
        Page {
            happened: "The address that asks has as many connections open as \
                       peer_connections_max allows. Everybody behind one proxy shares its address.",
            data: NOTHING,
            advice: "Use connections again instead of opening one for each request, and close \
                     those that are not used. Behind a proxy, raise requests.peer_connections_max.",
        },
    ),
    code(
        "overloaded",
        (503, ResourceExhausted, Later),
        "All connections that there may be are in use",
        Page {
            happened: "As many clients are connected as connections_max allows, and each of their \
                       connections is being used.",
            data: NOTHING,
            advice: "Wait as the header retry-after says and send it again. If it happens often, \
                     use fewer connections for more requests each, or raise \
                     requests.connections_max. /healthz is answered all the same.",
        },
    ),
    code(
        "unreadable",
        (500, DataLoss, Never),
        "The records of this transaction cannot be read",
        Page {
            happened: "The log holds records of this gid, and they are damaged.",
            data: "Nothing was changed. What was decided of this transaction cannot be said, nor \
                   is its gid free. Other transactions are not touched.",
            advice: "Stop the coordinator and restore its data folder from a copy; ask the \
                     participants how the transaction stands.",
        },
    ),
    code(
        "starting",
        (503, Unavailable, Later),
        "The coordinator is starting",
        Page {
            happened: "The coordinator reads its log and takes no requests yet.",
            data: "Nothing was changed by this request; everything decided before stands.",
            advice: "Send the same again; /readyz says when.",
        },
    ),
    code(
        "draining",
        (503, Unavailable, Later),
        "The coordinator takes no new transactions",
        Page {
            happened: "An operator drains it, or it is being stopped; open transactions go on.",
            data: "Nothing was begun.",
            advice: "Send the same again later. If it stays so, `wholly status` says who drains it \
                     and why, and `wholly drain --cancel --reason …` ends it.",
        },
    ),
    code(
        "unavailable",
        (503, Unavailable, Later),
        "The coordinator stopped before it could answer",
        Page {
            happened: "The request was taken, but the coordinator stopped before its answer was \
                       durable.",
            data: "It is not known whether the request took effect. Nothing that was answered \
                 before is lost.",
            advice: "Send the same again: submit, begin with an idempotency key, register, commit \
                 and abort may all be repeated. Or ask for the transaction.",
        },
    ),
    code(
        "internal",
        (500, Internal, Later),
        "The coordinator broke a promise of its own",
        Page {
            happened: "Something happened that the coordinator's own rules exclude; its log says \
                       what.",
            data: "It is not known whether the request took effect. Nothing that was answered \
                 before is lost.",
            advice: "Ask for the transaction, and report what the log says.",
        },
    ),
];
