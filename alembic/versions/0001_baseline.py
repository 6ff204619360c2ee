"""Every table of the first release.

Revision ID: 0001
Revises: nothing, it is the first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.Integer()
BOOLEAN = sa.Boolean()
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
TIMESTAMP = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Go one step forward."""
    op.create_table(
        "accounts",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("provider", TEXT, server_default="claude", nullable=False),
        sa.Column("config_json", TEXT, nullable=True),
        sa.Column("credentials", TEXT, nullable=True),
        sa.Column("is_exhausted", BOOLEAN, server_default=sa.false(), nullable=False),
        sa.Column("exhausted_until", TIMESTAMP, nullable=True),
        sa.Column("last_used_at", TIMESTAMP, nullable=True),
        sa.Column("sort_order", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_index(
        op.f("ix_accounts_created_at_id"), "accounts", ["created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_accounts_email"), "accounts", ["email"], unique=False)
    op.create_index(
        op.f("ix_accounts_provider_last_used_at_sort_order_id"),
        "accounts",
        ["provider", "last_used_at", "sort_order", "id"],
        unique=False,
    )
    op.create_table(
        "agent_log_chunks",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("agent_name", TEXT, nullable=False),
        sa.Column("session_number", INTEGER, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_log_chunks")),
    )
    op.create_index(
        op.f("ix_agent_log_chunks_agent_id_created_at_id"),
        "agent_log_chunks",
        ["agent_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_log_chunks_agent_id_session_number_created_at_id"),
        "agent_log_chunks",
        ["agent_id", "session_number", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "initiatives",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("branch", TEXT, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'pending_review', 'completed', 'archived')",
            name=op.f("ck_initiatives_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_initiatives")),
    )
    op.create_index(
        op.f("ix_initiatives_created_at_id"), "initiatives", ["created_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_initiatives_status_created_at_id"),
        "initiatives",
        ["status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "projects",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("default_branch", TEXT, server_default="main", nullable=False),
        sa.Column("last_fetched_at", TIMESTAMP, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
        sa.UniqueConstraint("url", name=op.f("uq_projects_url")),
    )
    op.create_index(
        op.f("ix_projects_created_at_id"), "projects", ["created_at", "id"], unique=False
    )
    op.create_table(
        "initiative_projects",
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("project_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_initiative_projects_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_initiative_projects_project_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("initiative_id", "project_id", name=op.f("pk_initiative_projects")),
    )
    op.create_index(
        op.f("ix_initiative_projects_project_id"),
        "initiative_projects",
        ["project_id"],
        unique=False,
    )
    op.create_table(
        "pages",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("parent_page_id", TEXT, nullable=True),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("content", JSON, nullable=True),
        sa.Column("sort_order", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_pages_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_page_id"],
            ["pages.id"],
            name=op.f("fk_pages_parent_page_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pages")),
    )
    op.create_index(
        op.f("ix_pages_initiative_id_created_at_id"),
        "pages",
        ["initiative_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_pages_parent_page_id_sort_order_created_at_id"),
        "pages",
        ["parent_page_id", "sort_order", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_pages_root",
        "pages",
        ["initiative_id"],
        unique=True,
        sqlite_where=sa.text("parent_page_id IS NULL"),
        postgresql_where=sa.text("parent_page_id IS NULL"),
    )
    op.create_table(
        "phases",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("content", JSON, nullable=True),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("merge_base", TEXT, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'in_progress', 'completed', 'blocked', 'pending_review')",
            name=op.f("ck_phases_status"),
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_phases_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phases")),
    )
    op.create_index(
        op.f("ix_phases_initiative_id_created_at_id"),
        "phases",
        ["initiative_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_phases_status_created_at_id"),
        "phases",
        ["status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "phase_dependencies",
        sa.Column("phase_id", TEXT, nullable=False),
        sa.Column("depends_on_phase_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["depends_on_phase_id"],
            ["phases.id"],
            name=op.f("fk_phase_dependencies_depends_on_phase_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["phase_id"],
            ["phases.id"],
            name=op.f("fk_phase_dependencies_phase_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "phase_id", "depends_on_phase_id", name=op.f("pk_phase_dependencies")
        ),
    )
    op.create_index(
        op.f("ix_phase_dependencies_depends_on_phase_id"),
        "phase_dependencies",
        ["depends_on_phase_id"],
        unique=False,
    )
    op.create_table(
        "review_comments",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("phase_id", TEXT, nullable=False),
        sa.Column("file_path", TEXT, nullable=False),
        sa.Column("line_number", INTEGER, nullable=False),
        sa.Column("line_type", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("author", TEXT, server_default="you", nullable=False),
        sa.Column("resolved", BOOLEAN, server_default=sa.false(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "line_type IN ('added', 'removed', 'context')",
            name=op.f("ck_review_comments_line_type"),
        ),
        sa.ForeignKeyConstraint(
            ["phase_id"],
            ["phases.id"],
            name=op.f("fk_review_comments_phase_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_comments")),
    )
    op.create_index(
        op.f("ix_review_comments_phase_id_created_at_id"),
        "review_comments",
        ["phase_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "tasks",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("phase_id", TEXT, nullable=True),
        sa.Column("initiative_id", TEXT, nullable=True),
        sa.Column("parent_task_id", TEXT, nullable=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("type", TEXT, server_default="auto", nullable=False),
        sa.Column("category", TEXT, server_default="execute", nullable=False),
        sa.Column("priority", TEXT, server_default="medium", nullable=False),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("order", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("summary", TEXT, nullable=True),
        sa.Column("retry_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "category IN ('execute', 'research', 'discuss', 'plan', 'detail', 'refine', 'verify', 'merge', 'review')",
            name=op.f("ck_tasks_category"),
        ),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high')", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'blocked')",
            name=op.f("ck_tasks_status"),
        ),
        sa.CheckConstraint("type IN ('auto')", name=op.f("ck_tasks_type")),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_tasks_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_task_id"],
            ["tasks.id"],
            name=op.f("fk_tasks_parent_task_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["phase_id"], ["phases.id"], name=op.f("fk_tasks_phase_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(
        op.f("ix_tasks_initiative_id_order_created_at_id"),
        "tasks",
        ["initiative_id", "order", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_tasks_parent_task_id_order_created_at_id"),
        "tasks",
        ["parent_task_id", "order", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_tasks_phase_id_order_created_at_id"),
        "tasks",
        ["phase_id", "order", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_tasks_status_created_at_id"), "tasks", ["status", "created_at", "id"], unique=False
    )
    op.create_table(
        "agents",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("initiative_id", TEXT, nullable=True),
        sa.Column("session_id", TEXT, nullable=True),
        sa.Column("worktree_id", TEXT, nullable=False),
        sa.Column("provider", TEXT, server_default="claude", nullable=False),
        sa.Column("account_id", TEXT, nullable=True),
        sa.Column("status", TEXT, server_default="idle", nullable=False),
        sa.Column("mode", TEXT, server_default="execute", nullable=False),
        sa.Column("pid", INTEGER, nullable=True),
        sa.Column("exit_code", INTEGER, nullable=True),
        sa.Column("output_file_path", TEXT, nullable=True),
        sa.Column("result", JSON, nullable=True),
        sa.Column("pending_questions", JSON, nullable=True),
        sa.Column("user_dismissed_at", TIMESTAMP, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "mode IN ('execute', 'discuss', 'plan', 'detail', 'refine')",
            name=op.f("ck_agents_mode"),
        ),
        sa.CheckConstraint(
            "status IN ('idle', 'running', 'waiting_for_input', 'stopped', 'crashed')",
            name=op.f("ck_agents_status"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_agents_account_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_agents_initiative_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_agents_task_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("name", name=op.f("uq_agents_name")),
    )
    op.create_index(op.f("ix_agents_account_id"), "agents", ["account_id"], unique=False)
    op.create_index(op.f("ix_agents_created_at_id"), "agents", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_agents_initiative_id"), "agents", ["initiative_id"], unique=False)
    op.create_index(
        op.f("ix_agents_session_id_created_at_id"),
        "agents",
        ["session_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agents_status_created_at_id"),
        "agents",
        ["status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agents_task_id_created_at_id"),
        "agents",
        ["task_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("depends_on_task_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["depends_on_task_id"],
            ["tasks.id"],
            name=op.f("fk_task_dependencies_depends_on_task_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_dependencies_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "depends_on_task_id", name=op.f("pk_task_dependencies")),
    )
    op.create_index(
        op.f("ix_task_dependencies_depends_on_task_id"),
        "task_dependencies",
        ["depends_on_task_id"],
        unique=False,
    )
    op.create_table(
        "change_sets",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("agent_id", TEXT, nullable=True),
        sa.Column("agent_name", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=True),
        sa.Column("status", TEXT, server_default="applied", nullable=False),
        sa.Column("reverted_at", TIMESTAMP, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "mode IN ('plan', 'detail', 'refine')", name=op.f("ck_change_sets_mode")
        ),
        sa.CheckConstraint("status IN ('applied', 'reverted')", name=op.f("ck_change_sets_status")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_change_sets_agent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_change_sets_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_sets")),
    )
    op.create_index(
        op.f("ix_change_sets_agent_id_created_at_id"),
        "change_sets",
        ["agent_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_change_sets_initiative_id_created_at_id"),
        "change_sets",
        ["initiative_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "chat_sessions",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("target_type", TEXT, nullable=False),
        sa.Column("target_id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("agent_id", TEXT, nullable=True),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint("status IN ('active', 'closed')", name=op.f("ck_chat_sessions_status")),
        sa.CheckConstraint(
            "target_type IN ('phase', 'task')", name=op.f("ck_chat_sessions_target_type")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_chat_sessions_agent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_chat_sessions_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_sessions")),
    )
    op.create_index(
        op.f("ix_chat_sessions_agent_id_status_created_at_id"),
        "chat_sessions",
        ["agent_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_chat_sessions_initiative_id"), "chat_sessions", ["initiative_id"], unique=False
    )
    op.create_index(
        op.f("ix_chat_sessions_target_type_target_id_status_created_at_id"),
        "chat_sessions",
        ["target_type", "target_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "conversations",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("from_agent_id", TEXT, nullable=False),
        sa.Column("to_agent_id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=True),
        sa.Column("phase_id", TEXT, nullable=True),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("question", TEXT, nullable=False),
        sa.Column("answer", TEXT, nullable=True),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'answered')", name=op.f("ck_conversations_status")
        ),
        sa.ForeignKeyConstraint(
            ["from_agent_id"],
            ["agents.id"],
            name=op.f("fk_conversations_from_agent_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_conversations_initiative_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["phase_id"], ["phases.id"], name=op.f("fk_conversations_phase_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_conversations_task_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["to_agent_id"],
            ["agents.id"],
            name=op.f("fk_conversations_to_agent_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(
        op.f("ix_conversations_from_agent_id_created_at_id"),
        "conversations",
        ["from_agent_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_conversations_initiative_id"), "conversations", ["initiative_id"], unique=False
    )
    op.create_index(op.f("ix_conversations_phase_id"), "conversations", ["phase_id"], unique=False)
    op.create_index(op.f("ix_conversations_task_id"), "conversations", ["task_id"], unique=False)
    op.create_index(
        op.f("ix_conversations_to_agent_id_status_created_at_id"),
        "conversations",
        ["to_agent_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "errands",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("branch", TEXT, nullable=False),
        sa.Column("base_branch", TEXT, server_default="main", nullable=False),
        sa.Column("agent_id", TEXT, nullable=True),
        sa.Column("project_id", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'pending_review', 'conflict', 'merged', 'abandoned')",
            name=op.f("ck_errands_status"),
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_errands_agent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_errands_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errands")),
    )
    op.create_index(op.f("ix_errands_agent_id"), "errands", ["agent_id"], unique=False)
    op.create_index(op.f("ix_errands_created_at_id"), "errands", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_errands_project_id_created_at_id"),
        "errands",
        ["project_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_errands_status_created_at_id"),
        "errands",
        ["status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "messages",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("sender_type", TEXT, nullable=False),
        sa.Column("sender_id", TEXT, nullable=True),
        sa.Column("recipient_type", TEXT, nullable=False),
        sa.Column("recipient_id", TEXT, nullable=True),
        sa.Column("type", TEXT, server_default="info", nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("requires_response", BOOLEAN, server_default=sa.false(), nullable=False),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("parent_message_id", TEXT, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "recipient_type IN ('agent', 'user')", name=op.f("ck_messages_recipient_type")
        ),
        sa.CheckConstraint(
            "sender_type IN ('agent', 'user')", name=op.f("ck_messages_sender_type")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'read', 'responded')", name=op.f("ck_messages_status")
        ),
        sa.CheckConstraint(
            "type IN ('question', 'info', 'error', 'response')", name=op.f("ck_messages_type")
        ),
        sa.ForeignKeyConstraint(
            ["parent_message_id"],
            ["messages.id"],
            name=op.f("fk_messages_parent_message_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["agents.id"],
            name=op.f("fk_messages_recipient_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["sender_id"], ["agents.id"], name=op.f("fk_messages_sender_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(
        op.f("ix_messages_parent_message_id_created_at_id"),
        "messages",
        ["parent_message_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_recipient_id_recipient_type_created_at_id"),
        "messages",
        ["recipient_id", "recipient_type", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_recipient_type_recipient_id_status"),
        "messages",
        ["recipient_type", "recipient_id", "status"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_recipient_type_status_created_at_id"),
        "messages",
        ["recipient_type", "status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_messages_requiring_response",
        "messages",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("requires_response AND status <> 'responded'"),
        postgresql_where=sa.text("requires_response AND status <> 'responded'"),
    )
    op.create_index(
        op.f("ix_messages_sender_id_sender_type_created_at_id"),
        "messages",
        ["sender_id", "sender_type", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_messages_sender_type_created_at_id"),
        "messages",
        ["sender_type", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "proposals",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("target_type", TEXT, nullable=False),
        sa.Column("target_id", TEXT, nullable=True),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=True),
        sa.Column("content", TEXT, nullable=True),
        sa.Column("metadata", JSON, nullable=True),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("sort_order", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'accepted', 'dismissed')", name=op.f("ck_proposals_status")
        ),
        sa.CheckConstraint(
            "target_type IN ('page', 'phase', 'task')", name=op.f("ck_proposals_target_type")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_proposals_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"],
            ["initiatives.id"],
            name=op.f("fk_proposals_initiative_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
    )
    op.create_index(
        op.f("ix_proposals_agent_id_created_at_id"),
        "proposals",
        ["agent_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_proposals_agent_id_status_created_at_id"),
        "proposals",
        ["agent_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_proposals_initiative_id_created_at_id"),
        "proposals",
        ["initiative_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "change_set_entries",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("change_set_id", TEXT, nullable=False),
        sa.Column("entity_type", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("previous_state", JSON, nullable=True),
        sa.Column("new_state", JSON, nullable=True),
        sa.Column("sort_order", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "action IN ('create', 'update', 'delete')", name=op.f("ck_change_set_entries_action")
        ),
        sa.CheckConstraint(
            "entity_type IN ('page', 'phase', 'task')",
            name=op.f("ck_change_set_entries_entity_type"),
        ),
        sa.ForeignKeyConstraint(
            ["change_set_id"],
            ["change_sets.id"],
            name=op.f("fk_change_set_entries_change_set_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_set_entries")),
    )
    op.create_index(
        op.f("ix_change_set_entries_change_set_id_sort_order_created_at_id"),
        "change_set_entries",
        ["change_set_id", "sort_order", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("chat_session_id", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("change_set_id", TEXT, nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'system')", name=op.f("ck_chat_messages_role")
        ),
        sa.ForeignKeyConstraint(
            ["change_set_id"],
            ["change_sets.id"],
            name=op.f("fk_chat_messages_change_set_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["chat_session_id"],
            ["chat_sessions.id"],
            name=op.f("fk_chat_messages_chat_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_messages")),
    )
    op.create_index(
        op.f("ix_chat_messages_change_set_id"), "chat_messages", ["change_set_id"], unique=False
    )
    op.create_index(
        op.f("ix_chat_messages_chat_session_id_created_at_id"),
        "chat_messages",
        ["chat_session_id", "created_at", "id"],
        unique=False,
    )


def downgrade() -> None:
    """Go back to an empty database."""
    op.drop_table("chat_messages")
    op.drop_table("change_set_entries")
    op.drop_table("proposals")
    op.drop_table("messages")
    op.drop_table("errands")
    op.drop_table("conversations")
    op.drop_table("chat_sessions")
    op.drop_table("change_sets")
    op.drop_table("task_dependencies")
    op.drop_table("agents")
    op.drop_table("tasks")
    op.drop_table("review_comments")
    op.drop_table("phase_dependencies")
    op.drop_table("phases")
    op.drop_table("pages")
    op.drop_table("initiative_projects")
    op.drop_table("projects")
    op.drop_table("initiatives")
    op.drop_table("agent_log_chunks")
    op.drop_table("accounts")
