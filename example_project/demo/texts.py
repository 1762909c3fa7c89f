"""The words of the seed: five teams, what they look after, and how engineers talk about it."""

from __future__ import annotations

from typing import NamedTuple


class ProjectText(NamedTuple):
    """A project, and the things of which its issues speak (each fits after "the")."""

    key: str
    name: str
    color: str
    description: str
    parts: tuple[str, ...]


class Story(NamedTuple):
    """An issue's title and description; ``{part}`` is the thing, ``{n}`` some number."""

    title: str
    description: str


PROJECTS = (
    ProjectText(
        "ATL", "Atlas", "#6366f1", "The web shop: catalogue, cart and checkout.",
        ("checkout form", "cart merge", "product search", "voucher service", "address lookup", "wish list",
         "stock badge", "order history", "price rounding", "image pipeline"),
    ),
    ProjectText(
        "BCN", "Beacon", "#0ea5e9", "Metrics, logs and alerts for every other team.",
        ("alert router", "log shipper", "trace sampler", "retention job", "status page", "query planner",
         "dashboard export", "on-call rota", "metric registry", "anomaly detector"),
    ),
    ProjectText(
        "CUR", "Courier", "#f59e0b", "Mail, push and text messages, on time and only once.",
        ("mail renderer", "push gateway", "bounce handler", "unsubscribe link", "template editor", "send queue",
         "delivery report", "quiet-hours rule", "webhook sender", "digest builder"),
    ),
    ProjectText(
        "HRB", "Harbor", "#10b981", "Builds, deployments and the machines below them.",
        ("build cache", "deploy lock", "image registry", "rollback command", "preview environment",
         "secret rotation", "health probe", "node autoscaler", "artifact store", "release notes job"),
    ),
    ProjectText(
        "MRD", "Meridian", "#ec4899", "Invoices, subscriptions and the month's end.",
        ("invoice numbering", "tax calculation", "dunning schedule", "refund flow", "usage meter",
         "ledger export", "currency table", "proration rule", "payment retry", "month-end report"),
    ),
)  # fmt: skip

PEOPLE = (
    "Amara Okafor", "Benedikt Vogel", "Chiara Ricci", "Dmitri Sokolov", "Elif Yıldız", "Farah Haddad",
    "Grace Mwangi", "Hiroshi Tanaka", "Inés Navarro", "Jonas Lindqvist", "Kavya Raman", "Liam O'Connor",
    "Mei-Ling Chen", "Noah Fischer", "Olivia Brandt", "Priya Desai", "Rafael Souza", "Sofia Papadaki",
)  # fmt: skip

STORIES = (
    Story("The {part} times out under load",
          "At about {n} requests a second the {part} answers later than its callers wait. The p99 climbs first, "
          "then the retries make it worse."),
    Story("Retry the {part} when the upstream answers 503",
          "Today one 503 fails the whole run. Back off with jitter, give up after {n} seconds, and say so in the log."),
    Story("The {part} ignores the user's time zone",
          "Dates are cut at midnight UTC. Customers in Auckland see yesterday's figures for half a day."),
    Story("Add metrics to the {part}",
          "We learn of trouble from customers. Count, errors and duration would do for a start, with an alert "
          "when the error rate stays over {n} % for five minutes."),
    Story("Write a runbook for the {part}",
          "Who is paged should not need to know who wrote it. How it starts, what it needs, what to look at first."),
    Story("The {part} leaks database connections",
          "After a cancelled request the connection stays idle in transaction. We restart every {n} hours, "
          "which is not a plan."),
    Story("Make the {part} idempotent",
          "A repeated call must find the work done and change nothing. The request id is already in the header."),
    Story("Split the {part} into its own module",
          "It has grown into three things that change for three reasons. Tests first, then move, then rename."),
    Story("Cover the {part} with tests",
          "Branch coverage is {n} %, and the missing branches are the ones that handle errors."),
    Story("The {part} shows stale data after a deploy",
          "The cache key does not contain the version. A hard reload helps, which is why we never see it ourselves."),
    Story("Drop the feature flag around the {part}",
          "On for everybody since spring. The old branch is dead code that still needs patching."),
    Story("The {part} fails on names with an apostrophe",
          "Reported by a customer called O'Neill. Escaping is done twice on the way in and once on the way out."),
    Story("Speed up the {part}",
          "A profile shows {n} % of the time in serialisation. We convert to text, back, and to text again."),
    Story("Document the limits of the {part}",
          "Sales promised a number that we never measured. Measure it, write it down, link it from the handbook."),
    Story("The {part} double-counts on retry",
          "If the worker dies between writing and acknowledging, the row is counted again. {n} cases last month."),
    Story("Let support see the {part} without an engineer",
          "About {n} tickets a week end with us pasting the same query. A read-only page in the admin would do."),
    Story("Move the {part} off the legacy queue",
          "It is the last user of the old broker. When it has moved we can switch off two machines."),
    Story("Paginate the {part}",
          "It loads everything and then shows twenty rows. Our largest account has {n},000."),
    Story("The {part} swallows exceptions",
          "There is a bare except that logs nothing. Find out what it was meant to catch, catch that, let the rest go."),
    Story("Keyboard access for the {part}",
          "Focus is lost after every action, and two of the buttons are spans. Found in the accessibility review."),
    Story("Archive old rows of the {part}",
          "The table grows by {n} GB a month and nobody reads what is older than a year."),
    Story("The {part} breaks when the clock goes back",
          "One hour happens twice in October. We order by local time and lose what falls into the second one."),
    Story("Rate-limit the {part}",
          "One integration sends {n} calls a second and everybody else waits. Per key, with a clear answer."),
    Story("Replace polling in the {part}",
          "It asks every {n} seconds whether something has changed. The answer is nearly always no."),
)  # fmt: skip

REMARKS = (
    "I can reproduce this on staging, every time.",
    "Could not reproduce. Which version was this on?",
    "Same root cause as last month's incident, I think. Linking the timeline.",
    "Started on this. The tests come first, the change is small.",
    "The fix is in review. It is smaller than the description made me fear.",
    "Deployed to {n} % of traffic; the graphs look right so far.",
    "Let us not do this before the release. The risk is not worth it.",
    "Measured again with warm caches: {n} ms instead of {m} ms.",
    "The customer confirms that it works now.",
    "This needs an index. I will write the migration so that it builds concurrently.",
    "Agreed in the planning meeting: we do the simple version and look again in a quarter.",
    "I wrote down what I found on the wiki, with the queries.",
    "Happened again last night, {n} times between two and three o'clock.",
    "Should this not be somebody else's problem? The data arrives broken.",
    "Rolled back. The change was right, the order of the deploys was not.",
    "There is a workaround: run it twice. I know.",
    "Blocked on access to the production logs. Asked for it this morning.",
    "Paired on this today. We now understand it, which is most of the work.",
    "The old behaviour was documented, so I would call this a breaking change.",
    "Took the liberty of splitting this in two. The other half can wait.",
    "Added a failing test. Whoever takes this can start there.",
    "We have {n} accounts on the old format. I can write to them.",
    "Nice find! I had looked at that line a dozen times.",
    "Closed by accident, sorry. Back to where it was.",
)

# How much of the work is where, and how urgent it is: most is done or waiting, little of it burns.
STATUS_WEIGHTS = {"backlog": 26, "todo": 22, "in_progress": 14, "done": 30, "canceled": 8}
PRIORITY_WEIGHTS = {0: 18, 1: 24, 2: 34, 3: 18, 4: 6}
