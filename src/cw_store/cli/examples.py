"""What `cw-store COMMAND --help` shows as examples; a test runs each of them on the demo store."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": ("cw-store init", "cw-store init --url runs/today.db"),
    "migrate": ("cw-store migrate --check", "cw-store migrate"),
    "status": ("cw-store status",),
    "doctor": ("cw-store doctor", "cw-store doctor --deep"),
    "rekey": ("CW_STORE_KEYS=NEW,OLD cw-store rekey",),
    "stats": ("cw-store stats", "cw-store stats --prometheus"),
    "ls": (
        "cw-store ls tasks --status blocked --status pending",
        "cw-store ls tasks --sort=-updated_at --columns name,status,agent --limit 5",
        "cw-store ls agents --initiative 'User auth'",
    ),
    "show": ("cw-store show 'Load test'", "cw-store show humble-koala", "cw-store show X3gxOv"),
    "ready": ("cw-store ready", "cw-store ready 'User auth' --explain"),
    "inbox": ("cw-store inbox", "cw-store inbox 'User auth' --json"),
    "logs": (
        "cw-store logs humble-koala --since 4h",
        "cw-store logs humble-koala --grep killed --raw",
        "cw-store logs humble-koala -f",
    ),
    "search": ("cw-store search 'issuer name'", "cw-store search spec --limit 3"),
    "graph": ("cw-store graph Billing", "cw-store graph Billing --format svg -o billing.svg"),
    "timeline": (
        "cw-store timeline 'User auth'",
        "cw-store timeline 'User auth' --format svg -o timeline.svg",
    ),
    "report": ("cw-store report -o run.html", "cw-store report 'User auth' -o run.html"),
    "watch": ("cw-store watch 'Docs site'", "cw-store watch 'Docs site' --every 5s"),
    "live": ("cw-store live", "cw-store live --act --port 8080"),
    "answer": (
        "cw-store answer l7WTae '30 minutes, as the newer page says.'",
        "cw-store answer l7WTae - < answer.txt",
    ),
    "retry": ("cw-store retry 'Unit tests'", "cw-store retry --blocked --initiative 'User auth'"),
    "account": (
        "cw-store account available olive@example.com",
        "cw-store account exhaust olive@example.com --until 2h",
    ),
    "accept": ("cw-store accept 5cadF6",),
    "dismiss": ("cw-store dismiss 5cadF6", "cw-store dismiss humble-koala"),
    "resolve": ("cw-store resolve DzC1vL", "cw-store resolve DzC1vL 9HG6cc"),
    "backup": ("cw-store backup today.db", "cw-store backup backups/ --keep 7"),
    "restore": ("cw-store restore today.db", "cw-store restore today.db --force"),
    "copy": ("cw-store copy cw.db copy.db", "cw-store copy cw.db postgresql://host/db"),
    "export": ("cw-store export -o run.jsonl", "cw-store export | gzip > run.jsonl.gz"),
    "import": (
        "cw-store import run.jsonl --url new.db",
        "cw-store import run.jsonl --url new.db --dry-run",
    ),
    "prune": (
        "cw-store prune logs --older-than 30d --dry-run",
        "cw-store prune changes --older-than 7d",
    ),
    "sql": (
        "cw-store sql 'SELECT status, count(*) FROM tasks GROUP BY status'",
        "cw-store sql 'SELECT * FROM agent_log_chunks' --all --json",
    ),
    "completion": ("cw-store completion bash",),
    "demo": ("cw-store demo --url demo.db",),
    "version": ("cw-store version",),
}
