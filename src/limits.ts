/**
 * Every number a user or operator can meet, with its unit last in its name.
 * Requests out of range are refused (400), never clamped.
 */
import { assert } from "./assert.ts";

export const TTL_DEFAULT_MS = 30_000;
export const TTL_MIN_MS = 1_000;
export const TTL_MAX_MS = 3_600_000;
export const WAIT_MAX_MS = 300_000;
export const TIMEOUT_DEFAULT_MS = 5_000;
export const TIMEOUT_MIN_MS = 100;
export const TIMEOUT_MAX_MS = 30_000;
export const LOCK_DELAY_MAX_MS = 60_000;

export const NAME_MAX_BYTES = 512;
export const HOLDER_MAX_BYTES = 128;
export const SUBJECT_MAX_BYTES = 128;
export const METADATA_MAX_BYTES = 256;
export const REASON_MAX_BYTES = 256;
export const IDEMPOTENCY_KEY_MAX_CHARS = 64;
export const BODY_MAX_BYTES = 64 * 1024;
/** A body that has not come to its end by then is refused (408). */
export const BODY_DEADLINE_MS = 10_000;
/** Bodies that have not come to their end, those of clients together, and those of peers: beyond, the oldest are refused (408). */
export const BODIES_MAX_BYTES = 64 * 1024 * 1024;
export const JSON_MAX_DEPTH = 32;
/** Keys that one page of a backup looks at, and bytes of states that are enough for it. */
export const BACKUP_PAGE_KEYS = 256;
export const BACKUP_PAGE_BYTES = 1024 * 1024;
/** Instances that one life of a cluster has room for, from a restore to the next: at 10,000 a second of one name 3 years. */
export const RESTORE_STEP = 2 ** 40;
export const RESTORES_MAX = 900;
/** How far a state is raised that a person chose for a name: above whatever records may have said that nobody can read any more. */
export const ACCEPT_STEP = 2 ** 32;
export const BATCH_MAX_OPERATIONS = 100;
export const BATCH_MAX_BYTES = 256 * 1024;
/** Names of one batch that are worked on at a time. */
export const BATCH_AT_ONCE = 16;

/** What a leader says of itself. */
export const ELECTION_VALUE_MAX_BYTES = 1_024;
export const SEMAPHORE_LIMIT_MAX = 1_024;
export const LOCKS_TOGETHER_MAX = 16;
export const KV_VALUE_MAX_BYTES = 32 * 1024;
export const CONTENT_TYPE_MAX_CHARS = 256;
/** A page that brings the values too: they may be large. */
export const LIST_VALUES_MAX_ITEMS = 32;
/** Entity tags in one If-Match or If-None-Match. */
export const ENTITY_TAGS_MAX = 16;

/** Names bound to one session; fewer where they are so long that its record has no room. */
export const NAMES_PER_SESSION = 256;
/** Sessions a key remembers the end of, so that nothing is bound to them late. */
export const ENDED_SESSIONS_PER_KEY = 64;
/** The same by the rules of version 1. */
export const ENDED_SESSIONS_PER_KEY_V1 = 8;

export const WAITERS_PER_KEY = 256;
export const HOLDERS_PER_KEY = 64;
export const HISTORY_ITEMS = 32;
export const LIST_DEFAULT_ITEMS = 100;
export const LIST_MAX_ITEMS = 1_000;
/** Lists of what is held tell apart no longer times: a week. */
export const HELD_FOR_MAX_MS = 604_800_000;

/** Lease clocks may differ by this share (PROTOCOL.md §7). */
export const DRIFT = 0.01;
/** How far wall clocks of processes that serve one shared store may be apart (PROTOCOL.md §7). */
export const WALL_MARGIN_MS = 2_000;
/** A place in a queue lapses when its node has not renewed it for this long. */
export const PLACE_TTL_MS = 10_000;
export const PLACE_RENEW_MS = 3_000;
/** A grant out of the queue that nobody confirms lapses after this, or its ttl if shorter. */
export const HANDOVER_TTL_MS = 10_000;
/** Who renews may be told of a hand-over before it is confirmed, if so much of its guarantee is left. */
export const EARLY_LEFT_MS = 3_000;
/** Its confirmation is sent so much later, unless its holder renews it or gives it back before through the same node. */
export const CONFIRM_AFTER_MS = 100;
/** What only takes a place in a queue waits so long for the next command of its name, to be decided together with it. */
export const PLACES_WAIT_MS = 20;

export const COMMANDS_PER_VALUE = 64;
export const CLAIMS_PER_VALUE = 64;
/** A value makes at most this many grants; it is the room of one instance among fences. */
export const GRANTS_PER_INSTANCE = 1_024;
/** Commands of a key whose results are remembered besides those of its last WINDOW_INSTANCES instances (PROTOCOL.md §6). */
export const DEDUP_WINDOW = 32;
export const WINDOW_INSTANCES = 4;
export const WINDOW_MAX_BYTES = 8 * 1024;
/** At every so many-th instance the hash of a key's state is of the whole of it (PROTOCOL.md §3). */
export const FOLD_INSTANCES = 32;
/** Subjects of a key of which it is remembered how new the newest forgotten command was; of others it is as of all. */
export const WINDOW_SUBJECTS = 16;
/** Each of a key's rows stays below Deno KV's 64 KiB with room for its envelope. */
export const ROW_MAX_BYTES = 56 * 1024;
/** A state that packs into so few bytes is part of its record's first row: a vote writes it again, and a free name is one row. */
export const INLINE_STATE_MAX_BYTES = 512;
/** From this size on the log of an owner store is made shorter, in bytes and in rows; at twice that nothing goes into it. */
export const LOG_SHORTEN_BYTES = 4 * 1024 * 1024;
export const LOG_SHORTEN_ROWS = 4_096;
/** What one value may weigh on the wire and in a vote. */
export const VALUE_MAX_BYTES = 48 * 1024;

export const ATOMIC_MAX_RECORDS = 100;
export const ATOMIC_MAX_BYTES = 600 * 1024;
export const ATOMIC_MAX_KEY_BYTES = 60 * 1024;
export const PAXOS_BODY_MAX_BYTES = 2 * 1024 * 1024;
export const PAXOS_MAX_MESSAGES = 1_000;
/** Keys in one answer between nodes. */
export const KEYS_PER_REPLY = 500;

/** Requests of one subject at one node; renewals and releases of what it holds are not counted. */
export const RATE_PER_SECOND = 200;
export const RATE_BURST = 400;
/** Renewals and releases of what a subject does not hold, as far as its node knows: a quarter of its rate, and burst, more. */
export const RATE_UNHELD_DIVISOR = 4;
export const RATE_SUBJECTS_MAX = 10_000;
/** Requests of clients that a node works on at once: at first, and at least and at most as its own lateness tells. */
export const ADMITTED_AT_ONCE = 128;
export const ADMITTED_MIN = 8;
export const ADMITTED_MAX = 4_096;
export const ADMISSION_WORK_MS = 500;
/** No more than at first, where writes of its store take longer: a request waits for three or four, one after another. */
export const ADMISSION_COMMIT_MS = 150;
/** Renewals, releases and whatever else keeps or ends a hold that it works on at once beside them. */
export const ADMITTED_HOLDERS = 128;
/** More of either sort wait: so many, of so many bytes. */
export const ADMISSION_WAITING_MAX = 1_024;
export const ADMISSION_WAITING_MAX_BYTES = 16 * 1024 * 1024;
/** They wait for so long, or for this share of their own timeout if that is less; for less once the queue has stood a while. */
export const ADMISSION_WAIT_MS = 1_000;
export const ADMISSION_PATIENCE = 0.2;
export const ADMISSION_STANDING_MS = 100;

/** Names of which a gateway keeps the instance it saw last. */
export const GATEWAY_NAMES_MAX = 10_000;

/** Event streams and waiting polls open at one node. */
export const STREAMS_PER_NODE = 4_096;
/** Events a stream's reader has not taken yet; whoever is further behind is cut off. */
export const EVENTS_BEHIND_MAX = 256;
export const STREAM_HEARTBEAT_MS = 15_000;
/** Whoever watches is told to come back after this, where it cannot be told anything now. */
export const STREAM_RETRY_MS = 2_000;

export const PEER_DEADLINE_MS = 1_000;
/** From the first request of a new connection to a peer until it stands, and as long is its ticket good. */
export const LINE_DIAL_MS = 2_000;
/** Between two tries to have a connection to a peer: doubled with each that failed, up to the second. */
export const LINE_REDIAL_MIN_MS = 250;
export const LINE_REDIAL_MAX_MS = 5_000;
/** A connection on which so much waits to leave takes no more: requests go by POST, and an answer ends it. */
export const LINE_WAITING_MAX_BYTES = 4 * 1024 * 1024;
export const LEARN_DELAY_MS = 5;
/** A guarded decision waits for the last votes of an open quorum as long as this share of what the first took, within these. */
export const LAST_VOTES_SHARE = 1 / 4;
export const LAST_VOTES_MIN_MS = 1;
export const LAST_VOTES_MAX_MS = 5;
/** What a node learned of a value that it had voted for is written with what the key's record changes next, or after this. */
export const LEARN_SAVE_MS = 100;
/** Keys that have learned something so; what further ones learn is written at once. */
export const UNSAVED_MAX_KEYS = 1_000;
export const BACKOFF_MAX_MS = 1_000;
/** A node that came back asks what it missed before it proposes: others tell it by themselves within that time. */
export const CATCH_UP_MS = 2_000;
/** A process in which nothing ran for so long was away. */
export const STALL_MS = 1_500;
/** A loser waits for Learn at least this long before it reads for itself (PROTOCOL.md §4). */
export const LOSER_WAIT_MIN_MS = 20;

/** A key that collided this often within so many instances goes through one coordinator (PROTOCOL.md §8). */
export const HOT_COLLISIONS = 2;
export const HOT_INSTANCES = 8;
/** Calm for so many instances, it is fast again. */
export const CALM_INSTANCES = 16;

/** Commands of one name that wait at one node; of renewals, releases and what other nodes sent, as many more. */
export const PENDING_PER_KEY = 4_096;
/** Names whose acceptors' votes a node collects, or whose collision it recovers, at a time; the oldest is left to a Prepare. */
export const EXCHANGES_MAX_KEYS = 10_000;
export const RECOVERIES_MAX_KEYS = 10_000;
/** Names whose leases a node sees to the end of; of more than that the readers and the sweep do. */
export const WATCHED_MAX_KEYS = 10_000;
/** Sessions whose end a node sees to; of more than that, those who want what is bound to them do. */
export const KEPT_MAX_SESSIONS = 10_000;
/** Ends of leases that a node works on at once where nobody waits for them, and besides those where somebody does. */
export const ENDS_AT_ONCE = 16;
export const ENDS_WANTED_AT_ONCE = 32;
/** Names remembered of each node that is away; beyond that it catches up when the name is next used. */
export const LAGGING_MAX_KEYS = 10_000;
/** Names whose contention is remembered; of others it counts as none. */
export const CONTENTION_MAX_KEYS = 10_000;
/** Names of which a process remembers when it last heard of them, and where their record stood. */
export const HEARD_MAX_KEYS = 100_000;
export const STOOD_MAX_KEYS = 100_000;
/** Names that are held or waited for, of which a node counts how many there are and since when. */
export const CENSUS_MAX_NAMES = 100_000;
/** Names that changed lately; whoever was away for more changes than that has to list again. */
export const RECENT_MAX_NAMES = 1_024;
/** For so long the import of a key is tried, for whoever waits for it. */
export const IMPORT_TRY_MS = 5_000;
/** Records that nothing is under way for, kept in memory. */
export const CACHED_RECORDS_MAX = 10_000;
/** Between rounds of the sweep, up to twice this; on a shared store, whose reads cost money, that one. */
export const SWEEP_MS = 60_000;
export const SWEEP_SHARED_MS = 600_000;
/** A turn through the own store looks at so many records at once; then there is a rest: so many times as long as that took, and no less. */
export const SWEEP_MAX_KEYS = 16;
export const SWEEP_REST_SHARE = 9;
export const SWEEP_REST_MIN_MS = 80;
/** What ran out is ended by the node that its key names; by the others only if it is still there so much later. */
export const SWEEP_OTHERS_MS = 300_000;
/** What nobody has used for so long is forgotten, but never what a process has seen unchanged for less than that. */
export const FORGET_AFTER_MS = 7 * 24 * 3_600_000;
export const FORGET_SEEN_MS = 3_600_000;
/** No cluster forgets sooner: a request that is repeated has to find what the first one did. */
export const FORGET_LEAST_MS = 60_000;
/** Names that a process sees to be unused; of more than that some wait for a later round. */
export const FORGET_MAX_KEYS = 100_000;
/** Names whose leases a process times; of more than that, those touched longest ago begin anew when they are seen next. */
export const LEASES_MAX_KEYS = 100_000;
/** Names whose record has stopped or is damaged that a node counts, and of those how many `/v1/status` shows. */
export const STOPPED_MAX_KEYS = 10_000;
export const STOPPED_SHOWN_MAX = 100;
/** Names of which a node remembers that it has told of a contradiction among members. */
export const CONTRADICTED_MAX_KEYS = 1_000;

export const MEMBERS_MAX = 9;
export const MEMBER_URL_MAX_CHARS = 512;
/** What nodes tell each other of epochs, and what one epoch may weigh. */
export const EPOCHS_MAX_BYTES = 64 * 1024;
/** An exchange of epochs waits so long, as a node that hears of a new one answers when it is in it. */
export const EPOCH_DEADLINE_MS = 5_000;
/** Between rounds of telling others of an epoch that they are not in yet: doubled with each, up to the second. */
export const EPOCH_TELL_MIN_MS = 250;
export const EPOCH_TELL_MAX_MS = 5_000;
/** Names in one question whether they have moved into a new epoch: who is asked may have to read each from its disk, within PEER_DEADLINE_MS. */
export const SWEEP_EPOCH_ASKED = 200;
/** Names that a member moves into a new epoch at a time, and when it tries again; others help once that has lasted so long. */
export const SWEEP_EPOCH_AT_ONCE = 16;
export const SWEEP_EPOCH_RETRY_MS = 500;
export const SWEEP_EPOCH_OTHERS_MS = 60_000;
/** Nodes that do not vote; every member sends each of them every decision. */
export const LEARNERS_MAX = 16;

assert(DEDUP_WINDOW < COMMANDS_PER_VALUE * 2, "the window's entries of one instance are bounded");
assert(GRANTS_PER_INSTANCE >= HOLDERS_PER_KEY, "one value can fill a lock");
assert(COMMANDS_PER_VALUE + WAITERS_PER_KEY <= GRANTS_PER_INSTANCE, "grants of one value have room");
assert(VALUE_MAX_BYTES < ROW_MAX_BYTES, "a vote fits its row");
assert(Math.ceil(KV_VALUE_MAX_BYTES / 3) * 4 + 2_048 < VALUE_MAX_BYTES, "a register's value fits one vote in base64");
assert(PLACE_RENEW_MS * 3 < PLACE_TTL_MS, "a place survives two lost renewals");
assert(PAXOS_BODY_MAX_BYTES * 16 <= BODIES_MAX_BYTES, "bodies of a member's requests to a peer have room");
assert(BODY_MAX_BYTES < PAXOS_BODY_MAX_BYTES, "a request fits a peer call");
assert(KEYS_PER_REPLY * 6 * (NAME_MAX_BYTES + 32) < PAXOS_BODY_MAX_BYTES, "keys fit an answer, all of them escaped");
assert((RESTORES_MAX + 1) * RESTORE_STEP < 10 ** 15, "an instance has at most 15 digits, as Quorate-Born takes them");
