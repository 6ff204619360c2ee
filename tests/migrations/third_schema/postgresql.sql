SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.cw_store_phase_dependencies_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM FROM phases
        WHERE id = OLD.phase_id AND (
            phases.status <> 'completed'
            OR EXISTS (SELECT FROM phases AS other WHERE other.id = OLD.depends_on_phase_id)
        )
        FOR NO KEY UPDATE;
        IF FOUND THEN  -- it may have gone with the edge

    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = OLD.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = OLD.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM FROM phases WHERE id = NEW.depends_on_phase_id FOR SHARE;
        PERFORM FROM phases WHERE id = NEW.phase_id FOR NO KEY UPDATE;

    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = NEW.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = NEW.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.cw_store_phases_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    waiting text[];
BEGIN
    IF OLD.status = 'completed' AND NEW.status <> 'completed' THEN
        PERFORM FROM phases
        WHERE id IN (SELECT depends_on_phase_id FROM phase_dependencies WHERE phase_id = NEW.id)
        ORDER BY seq FOR SHARE;

    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = NEW.id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = NEW.id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
    END IF;
    IF (OLD.status = 'completed') <> (NEW.status = 'completed') THEN
        waiting := ARRAY(
            SELECT id FROM phases
            WHERE id IN (SELECT phase_id FROM phase_dependencies WHERE depends_on_phase_id = NEW.id)
                AND phases.status <> 'completed'
            ORDER BY seq FOR NO KEY UPDATE
        );
        UPDATE phases SET open_dependencies = counted.number FROM (
            SELECT phase_id AS id,
                count(*) FILTER (WHERE prerequisite.status <> 'completed') AS number
            FROM phase_dependencies JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
            WHERE phase_id = ANY (waiting)
            GROUP BY phase_id
        ) AS counted
        WHERE phases.id = counted.id AND open_dependencies <> counted.number;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.cw_store_task_dependencies_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM FROM tasks
        WHERE id = OLD.task_id AND (
            tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed'
            OR EXISTS (SELECT FROM tasks AS other WHERE other.id = OLD.depends_on_task_id)
        )
        FOR NO KEY UPDATE;
        IF FOUND THEN  -- it may have gone with the edge

    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = OLD.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = OLD.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM FROM tasks WHERE id = NEW.depends_on_task_id FOR SHARE;
        PERFORM FROM tasks WHERE id = NEW.task_id FOR NO KEY UPDATE;

    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = NEW.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = NEW.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.cw_store_tasks_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    waiting text[];
BEGIN
    IF (OLD.status = 'completed' AND NEW.status <> 'completed') OR (OLD.claimed_by_agent_id IS NOT NULL AND NEW.claimed_by_agent_id IS NULL AND NEW.status <> 'completed') THEN
        PERFORM FROM tasks
        WHERE id IN (SELECT depends_on_task_id FROM task_dependencies WHERE task_id = NEW.id)
        ORDER BY seq FOR SHARE;

    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = NEW.id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = NEW.id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
    END IF;
    IF (OLD.status = 'completed') <> (NEW.status = 'completed') THEN
        waiting := ARRAY(
            SELECT id FROM tasks
            WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on_task_id = NEW.id)
                AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed'
            ORDER BY seq FOR NO KEY UPDATE
        );
        UPDATE tasks SET open_dependencies = counted.number FROM (
            SELECT task_id AS id,
                count(*) FILTER (WHERE prerequisite.status <> 'completed') AS number
            FROM task_dependencies JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
            WHERE task_id = ANY (waiting)
            GROUP BY task_id
        ) AS counted
        WHERE tasks.id = counted.id AND open_dependencies <> counted.number;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.cw_store_tasks_deleted() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    UPDATE agents SET lease_expires_at = NULL, status = 'crashed',
        updated_at = updated_at + interval '1 microsecond'
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.cw_store_tasks_taken() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    UPDATE agents SET lease_expires_at = NULL, status = 'crashed',
        updated_at = updated_at + interval '1 microsecond'
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL;

    UPDATE tasks SET status = 'pending', epoch = epoch + 1,
        updated_at = updated_at + interval '1 microsecond'
    WHERE id = NEW.id AND claimed_by_agent_id IS NULL AND status = 'in_progress'
        AND epoch = OLD.epoch;
    RETURN NULL;
END
$$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.accounts (
    id text NOT NULL COLLATE pg_catalog."C",
    email text NOT NULL COLLATE pg_catalog."C",
    provider text DEFAULT 'claude'::text NOT NULL COLLATE pg_catalog."C",
    config_json text COLLATE pg_catalog."C",
    credentials text COLLATE pg_catalog."C",
    is_exhausted boolean DEFAULT false NOT NULL,
    exhausted_until timestamp with time zone,
    last_used_at timestamp with time zone,
    sort_order integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    max_agents integer
);
ALTER TABLE public.accounts ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.accounts_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.agent_log_chunks (
    id text NOT NULL COLLATE pg_catalog."C",
    agent_id text NOT NULL COLLATE pg_catalog."C",
    agent_name text NOT NULL COLLATE pg_catalog."C",
    session_number integer NOT NULL,
    content text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL
);
ALTER TABLE public.agent_log_chunks ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.agent_log_chunks_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.agents (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    task_id text COLLATE pg_catalog."C",
    initiative_id text COLLATE pg_catalog."C",
    session_id text COLLATE pg_catalog."C",
    worktree_id text NOT NULL COLLATE pg_catalog."C",
    provider text DEFAULT 'claude'::text NOT NULL COLLATE pg_catalog."C",
    account_id text COLLATE pg_catalog."C",
    status text DEFAULT 'idle'::text NOT NULL COLLATE pg_catalog."C",
    mode text DEFAULT 'execute'::text NOT NULL COLLATE pg_catalog."C",
    pid integer,
    exit_code integer,
    output_file_path text COLLATE pg_catalog."C",
    result jsonb,
    pending_questions jsonb,
    user_dismissed_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    holder text COLLATE pg_catalog."C",
    lease_expires_at timestamp with time zone,
    epoch integer,
    CONSTRAINT ck_agents_mode CHECK ((mode = ANY (ARRAY['execute'::text, 'discuss'::text, 'plan'::text, 'detail'::text, 'refine'::text]))),
    CONSTRAINT ck_agents_status CHECK ((status = ANY (ARRAY['idle'::text, 'running'::text, 'waiting_for_input'::text, 'stopped'::text, 'crashed'::text])))
);
ALTER TABLE public.agents ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.agents_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.change_set_entries (
    id text NOT NULL COLLATE pg_catalog."C",
    change_set_id text NOT NULL COLLATE pg_catalog."C",
    entity_type text NOT NULL COLLATE pg_catalog."C",
    entity_id text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    previous_state jsonb,
    new_state jsonb,
    sort_order integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_change_set_entries_action CHECK ((action = ANY (ARRAY['create'::text, 'update'::text, 'delete'::text]))),
    CONSTRAINT ck_change_set_entries_entity_type CHECK ((entity_type = ANY (ARRAY['page'::text, 'phase'::text, 'task'::text])))
);
ALTER TABLE public.change_set_entries ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.change_set_entries_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.change_sets (
    id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    agent_id text COLLATE pg_catalog."C",
    agent_name text NOT NULL COLLATE pg_catalog."C",
    mode text NOT NULL COLLATE pg_catalog."C",
    summary text COLLATE pg_catalog."C",
    status text DEFAULT 'applied'::text NOT NULL COLLATE pg_catalog."C",
    reverted_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_change_sets_mode CHECK ((mode = ANY (ARRAY['plan'::text, 'detail'::text, 'refine'::text]))),
    CONSTRAINT ck_change_sets_status CHECK ((status = ANY (ARRAY['applied'::text, 'reverted'::text])))
);
ALTER TABLE public.change_sets ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.change_sets_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.chat_messages (
    id text NOT NULL COLLATE pg_catalog."C",
    chat_session_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    content text NOT NULL COLLATE pg_catalog."C",
    change_set_id text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_chat_messages_role CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text, 'system'::text])))
);
ALTER TABLE public.chat_messages ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.chat_messages_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.chat_sessions (
    id text NOT NULL COLLATE pg_catalog."C",
    target_type text NOT NULL COLLATE pg_catalog."C",
    target_id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    agent_id text COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_chat_sessions_status CHECK ((status = ANY (ARRAY['active'::text, 'closed'::text]))),
    CONSTRAINT ck_chat_sessions_target_type CHECK ((target_type = ANY (ARRAY['phase'::text, 'task'::text])))
);
ALTER TABLE public.chat_sessions ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.chat_sessions_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.conversations (
    id text NOT NULL COLLATE pg_catalog."C",
    from_agent_id text NOT NULL COLLATE pg_catalog."C",
    to_agent_id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text COLLATE pg_catalog."C",
    phase_id text COLLATE pg_catalog."C",
    task_id text COLLATE pg_catalog."C",
    question text NOT NULL COLLATE pg_catalog."C",
    answer text COLLATE pg_catalog."C",
    status text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_conversations_status CHECK ((status = ANY (ARRAY['pending'::text, 'answered'::text])))
);
ALTER TABLE public.conversations ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.conversations_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.cw_store_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.errands (
    id text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL COLLATE pg_catalog."C",
    branch text NOT NULL COLLATE pg_catalog."C",
    base_branch text DEFAULT 'main'::text NOT NULL COLLATE pg_catalog."C",
    agent_id text COLLATE pg_catalog."C",
    project_id text COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_errands_status CHECK ((status = ANY (ARRAY['active'::text, 'pending_review'::text, 'conflict'::text, 'merged'::text, 'abandoned'::text])))
);
ALTER TABLE public.errands ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.errands_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.initiative_projects (
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    project_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.initiatives (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    branch text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    max_agents integer,
    dispatch_turn bigint,
    CONSTRAINT ck_initiatives_status CHECK ((status = ANY (ARRAY['active'::text, 'pending_review'::text, 'completed'::text, 'archived'::text])))
);
ALTER TABLE public.initiatives ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.initiatives_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.messages (
    id text NOT NULL COLLATE pg_catalog."C",
    sender_type text NOT NULL COLLATE pg_catalog."C",
    sender_id text COLLATE pg_catalog."C",
    recipient_type text NOT NULL COLLATE pg_catalog."C",
    recipient_id text COLLATE pg_catalog."C",
    type text DEFAULT 'info'::text NOT NULL COLLATE pg_catalog."C",
    content text NOT NULL COLLATE pg_catalog."C",
    requires_response boolean DEFAULT false NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    parent_message_id text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_messages_recipient_type CHECK ((recipient_type = ANY (ARRAY['agent'::text, 'user'::text]))),
    CONSTRAINT ck_messages_sender_type CHECK ((sender_type = ANY (ARRAY['agent'::text, 'user'::text]))),
    CONSTRAINT ck_messages_status CHECK ((status = ANY (ARRAY['pending'::text, 'read'::text, 'responded'::text]))),
    CONSTRAINT ck_messages_type CHECK ((type = ANY (ARRAY['question'::text, 'info'::text, 'error'::text, 'response'::text])))
);
ALTER TABLE public.messages ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.messages_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.pages (
    id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    parent_page_id text COLLATE pg_catalog."C",
    title text NOT NULL COLLATE pg_catalog."C",
    content jsonb,
    sort_order integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL
);
ALTER TABLE public.pages ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.pages_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.phase_dependencies (
    phase_id text NOT NULL COLLATE pg_catalog."C",
    depends_on_phase_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.phases (
    id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    content jsonb,
    status text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    merge_base text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    open_dependencies integer DEFAULT 0 NOT NULL,
    CONSTRAINT ck_phases_status CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'in_progress'::text, 'completed'::text, 'blocked'::text, 'pending_review'::text])))
);
ALTER TABLE public.phases ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.phases_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.projects (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL COLLATE pg_catalog."C",
    default_branch text DEFAULT 'main'::text NOT NULL COLLATE pg_catalog."C",
    last_fetched_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL
);
ALTER TABLE public.projects ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.projects_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.proposals (
    id text NOT NULL COLLATE pg_catalog."C",
    agent_id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    target_type text NOT NULL COLLATE pg_catalog."C",
    target_id text COLLATE pg_catalog."C",
    title text NOT NULL COLLATE pg_catalog."C",
    summary text COLLATE pg_catalog."C",
    content text COLLATE pg_catalog."C",
    metadata jsonb,
    status text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    sort_order integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_proposals_status CHECK ((status = ANY (ARRAY['pending'::text, 'accepted'::text, 'dismissed'::text]))),
    CONSTRAINT ck_proposals_target_type CHECK ((target_type = ANY (ARRAY['page'::text, 'phase'::text, 'task'::text])))
);
ALTER TABLE public.proposals ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.proposals_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.review_comments (
    id text NOT NULL COLLATE pg_catalog."C",
    phase_id text NOT NULL COLLATE pg_catalog."C",
    file_path text NOT NULL COLLATE pg_catalog."C",
    line_number integer NOT NULL,
    line_type text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL COLLATE pg_catalog."C",
    author text DEFAULT 'you'::text NOT NULL COLLATE pg_catalog."C",
    resolved boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT ck_review_comments_line_type CHECK ((line_type = ANY (ARRAY['added'::text, 'removed'::text, 'context'::text])))
);
ALTER TABLE public.review_comments ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.review_comments_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.store_state (
    name text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.task_dependencies (
    task_id text NOT NULL COLLATE pg_catalog."C",
    depends_on_task_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.tasks (
    id text NOT NULL COLLATE pg_catalog."C",
    phase_id text COLLATE pg_catalog."C",
    initiative_id text COLLATE pg_catalog."C",
    parent_task_id text COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    description text COLLATE pg_catalog."C",
    type text DEFAULT 'auto'::text NOT NULL COLLATE pg_catalog."C",
    category text DEFAULT 'execute'::text NOT NULL COLLATE pg_catalog."C",
    priority text DEFAULT 'medium'::text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    "order" integer DEFAULT 0 NOT NULL,
    summary text COLLATE pg_catalog."C",
    retry_count integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    seq bigint NOT NULL,
    max_retries integer DEFAULT 3 NOT NULL,
    not_before timestamp with time zone,
    epoch integer DEFAULT 0 NOT NULL,
    open_dependencies integer DEFAULT 0 NOT NULL,
    claimed_by_agent_id text COLLATE pg_catalog."C",
    CONSTRAINT ck_tasks_category CHECK ((category = ANY (ARRAY['execute'::text, 'research'::text, 'discuss'::text, 'plan'::text, 'detail'::text, 'refine'::text, 'verify'::text, 'merge'::text, 'review'::text]))),
    CONSTRAINT ck_tasks_claimed CHECK (((claimed_by_agent_id IS NULL) OR (status = 'in_progress'::text))),
    CONSTRAINT ck_tasks_priority CHECK ((priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text]))),
    CONSTRAINT ck_tasks_status CHECK ((status = ANY (ARRAY['pending'::text, 'in_progress'::text, 'completed'::text, 'blocked'::text]))),
    CONSTRAINT ck_tasks_type CHECK ((type = 'auto'::text))
);
ALTER TABLE public.tasks ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tasks_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public.accounts VALUES ('z-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlIb3lggK16ddNhm2LS3nRaD0_xNEf9bKcHU0ty3XfPTzOhVxmI5d0mbjXN47xsDKRqdY-Z_VV2uCp7VNeHpUPoL8_mRg2IwnTwJHfMtxD3Uc=', 'cw-store:fernet:gAAAAABrCnUlJ69SCAJzXpP4iXTMeXHC_n6Ydr77x4ehG0og2YP5PfNi6RtrYINodVmQYUqFujC9cBpGqryaJACHi8FNjztvXA==', true, '2026-01-15 08:00:00+00', NULL, 1, '2026-01-15 07:00:00.000006+00', '2026-01-15 07:00:00.000007+00', 1, NULL);
INSERT INTO public.accounts VALUES ('q-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlx2-d2XpstpaXEgsHam7Q849OkHfCSgcT5E-3XxrrGbNjz8R5ngyobkGXRmbN5pd7y_HJcZKvE6WDT6ySP-TECg==', 'cw-store:fernet:gAAAAABrCnUlmUI_Kh7LKmxJQbizk5fL_Fi669-yun21kwQb7uMClD9pFM9Mn0U1Bb4sLL2SxFvBmQ9qYxw2U0_IPJLgAk1WvA==', false, NULL, NULL, 5, '2026-01-15 11:00:00.000006+00', '2026-01-15 11:00:00.000006+00', 2, NULL);
INSERT INTO public.accounts VALUES ('b-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlAzGhv7cKy1gqoW9WS7hriZ7b-ri1CrAw4pwrWOiYB5sPyKlB5fzw8ounP0AsmtLLH4SMVgx37kuHG_SGV5XVBg==', 'cw-store:fernet:gAAAAABrCnUlt-j1MiKc0ZKk4bZZHTaklTdDgYQeKo0UuoaLTNvFi33LwTH-C-yVsp4fgmGb-bGqWz7CtxbbgAISL18Va__gag==', false, NULL, NULL, 3, '2026-01-15 12:00:00.000006+00', '2026-01-15 12:00:00.000006+00', 3, NULL);
INSERT INTO public.accounts VALUES ('k-account', 'ada@example.org', 'claude', 'cw-store:plain:cw-store:looks like ours', 'token 2', true, NULL, NULL, 2, '2026-01-15 12:00:00.000006+00', '2026-01-15 12:00:00.000007+00', 4, NULL);
INSERT INTO public.accounts VALUES ('m-account', 'ada@example.org', 'claude', 'It''s "quoted"
	tabbed \ slash', 'token 0', false, NULL, NULL, 0, '2026-01-15 15:00:00.000006+00', '2026-01-15 15:00:00.000006+00', 5, NULL);
INSERT INTO public.accounts VALUES ('a-account', 'ada@example.org', 'claude', '''; DROP TABLE tasks; --', 'token 4', false, NULL, NULL, 4, '2026-01-15 20:00:00.000006+00', '2026-01-15 20:00:00.000006+00', 6, NULL);
INSERT INTO public.accounts VALUES ('limited-account', 'grace@example.org', 'claude', NULL, 'cw-store:bound:gAAAAABrCwctZgjblJdjgiTV61CqdRdV6RkljE_RkA2ILM6Ro7ScqYJRHazL79nERGFafX9ZnTPqsVLJiLomQes_CLxsqNJIpZBxtviM07kKlZaT7UFbMSI-ze5geBsq40EuTEUz-cOtnlGra_3GSlR0eEmFnl5B-w==', false, NULL, NULL, 0, '2026-11-28 16:54:05.124704+00', '2026-11-28 16:54:05.124704+00', 8, 2);
INSERT INTO public.accounts VALUES ('bound-account', 'ada@example.org', 'claude', 'cw-store:bound:gAAAAABrCtNBFPbXuKJ2-WBUPbrfyd4pWaST--Ye1XSxjdtGENxvcdt7jimxZwaB_DQLQnWiY3q8Gv58qFnoC9-xCNXufbeGjuH9PXWTx8lb7UKviDYBIA4CMgJEi4ALehjwPMLX2ALa', 'cw-store:bound:gAAAAABrCtNBqrPfIb62atPdhMfq1_qKaf54cC3xi4xit5AaK9ERgTenOP9Gw1N_D_I2kx2VEyMbvTr8hFeKMcg-GtHd2hoKdEHC7KdEu-jMZ-V8sptBd-fxiwpKD7coFBE1p5bpFjFi', false, NULL, '2026-11-28 16:54:05.290512+00', 0, '2026-11-28 13:12:33.90309+00', '2026-11-28 16:54:05.290512+00', 7, NULL);
INSERT INTO public.agent_log_chunks VALUES ('z-chunk', 'agent', 'otter', 2, 'naïve 日本語 🦊 ‮', '2026-01-15 07:00:00.000012+00', 1);
INSERT INTO public.agent_log_chunks VALUES ('z-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 07:00:00.000013+00', 2);
INSERT INTO public.agent_log_chunks VALUES ('q-chunk', 'agent', 'otter', 2, '', '2026-01-15 11:00:00.000011+00', 3);
INSERT INTO public.agent_log_chunks VALUES ('q-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 11:00:00.000012+00', 4);
INSERT INTO public.agent_log_chunks VALUES ('b-chunk', 'agent', 'otter', 2, 'plain', '2026-01-15 12:00:00.000011+00', 5);
INSERT INTO public.agent_log_chunks VALUES ('b-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 12:00:00.000012+00', 6);
INSERT INTO public.agent_log_chunks VALUES ('k-chunk', 'agent', 'otter', 1, '', '2026-01-15 12:00:00.000012+00', 7);
INSERT INTO public.agent_log_chunks VALUES ('k-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 12:00:00.000013+00', 8);
INSERT INTO public.agent_log_chunks VALUES ('m-chunk', 'agent', 'otter', 1, 'It''s "quoted"
	tabbed \ slash', '2026-01-15 15:00:00.000011+00', 9);
INSERT INTO public.agent_log_chunks VALUES ('m-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 15:00:00.000012+00', 10);
INSERT INTO public.agent_log_chunks VALUES ('a-chunk', 'agent', 'otter', 1, '''; DROP TABLE tasks; --', '2026-01-15 20:00:00.000011+00', 11);
INSERT INTO public.agent_log_chunks VALUES ('a-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 20:00:00.000012+00', 12);
INSERT INTO public.agents VALUES ('z-agent', 'z-otter', 'm-task', 'z-initiative', 'session', 'w', 'claude', 'z-account', 'running', 'execute', 1, -1, NULL, '[[[]]]', '[[[]]]', NULL, '2026-01-15 07:00:00.000008+00', '2026-01-15 07:00:00.000008+00', 1, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('q-agent', 'q-otter', 'a-task', 'q-initiative', 'session', 'w', 'claude', 'q-account', 'running', 'execute', 5, -5, NULL, '{"big": 10000000000000000.0, "edge": 9223372036854775807}', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, '2026-01-15 11:00:00.000007+00', '2026-01-15 11:00:00.000007+00', 2, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('b-agent', 'b-otter', 'k-task', 'b-initiative', 'session', 'w', 'claude', 'b-account', 'running', 'execute', 3, -3, NULL, '0', '0', NULL, '2026-01-15 12:00:00.000007+00', '2026-01-15 12:00:00.000007+00', 3, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('k-agent', 'k-otter', 'z-task', 'k-initiative', 'session', 'w', 'claude', 'k-account', 'running', 'execute', 2, -2, NULL, '"1e16"', '"1e16"', NULL, '2026-01-15 12:00:00.000008+00', '2026-01-15 12:00:00.000008+00', 4, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('m-agent', 'm-otter', 'm-task', 'm-initiative', 'session', 'w', 'claude', 'm-account', 'crashed', 'execute', 0, 0, NULL, '{"a": [null, true, 1.5], "b": 1}', '{"a": [null, true, 1.5], "b": 1}', NULL, '2026-01-15 15:00:00.000007+00', '2026-01-15 15:00:00.000007+00', 5, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('a-agent', 'a-otter', 'b-task', 'a-initiative', 'session', 'w', 'claude', 'a-account', 'running', 'execute', 4, -4, NULL, 'false', 'false', NULL, '2026-01-15 20:00:00.000007+00', '2026-01-15 20:00:00.000007+00', 6, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('running-agent', 'brave-otter-two', 'three-task', 'initiative', NULL, 'w', 'claude', NULL, 'running', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 13:12:33.963292+00', '2026-11-28 13:12:33.963292+00', 7, NULL, NULL, NULL);
INSERT INTO public.agents VALUES ('t3RqCKzQhVQyKzFQ-bnUU', 'mighty-magpie', 'ended-task', 'limited-initiative', NULL, 'w-ended-task', 'claude', NULL, 'stopped', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.224138+00', '2026-11-28 16:54:05.255701+00', 8, 'host/1/one', NULL, 1);
INSERT INTO public.agents VALUES ('7sws4-FN_jSMellEKtgif', 'serene-otter', 'held-task', 'limited-initiative', NULL, 'w-held-task', 'claude', 'bound-account', 'running', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.294276+00', '2026-11-28 16:54:05.294276+00', 9, 'host/1/one', '2026-11-28 17:54:05.294604+00', 1);
INSERT INTO public.agents VALUES ('V0f85n_n34bzvzsqk9Tlu', 'radiant-cobra', 'late-task', 'limited-initiative', NULL, 'w-late-task', 'claude', NULL, 'stopped', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.306408+00', '2026-11-28 16:54:05.311553+00', 10, 'host/1/one', NULL, 1);
INSERT INTO public.agents VALUES ('pDS-zP0wpsmjvYm1Xebq0', 'agile-turtle', 'given-back-task', 'limited-initiative', NULL, 'w-given-back-task', 'claude', NULL, 'crashed', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.325836+00', '2026-11-28 16:54:05.339104+00', 11, 'host/1/one', NULL, 1);
INSERT INTO public.agents VALUES ('Ty0dyGo2mTtFcFkTKqOFl', 'candid-cheetah', 'loose-task', NULL, NULL, 'w-loose-task', 'claude', NULL, 'running', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.350235+00', '2026-11-28 16:54:05.350235+00', 12, 'host/1/one', '2026-11-28 17:54:05.350413+00', 1);
INSERT INTO public.agents VALUES ('teKT_6vypyZhZOV6AuQNQ', 'curious-gazelle', 'm-task', 'm-initiative', NULL, 'w-next', 'claude', NULL, 'running', 'execute', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 16:54:05.383239+00', '2026-11-28 16:54:05.383239+00', 13, 'host/1/two', '2026-11-28 16:56:05.383424+00', 1);
INSERT INTO public.change_set_entries VALUES ('z-entry0', 'z-change-set', 'page', 'p', 'update', '[[[]]]', NULL, 1, '2026-01-15 07:00:00.000016+00', 1);
INSERT INTO public.change_set_entries VALUES ('z-entry1', 'z-change-set', 'page', 'p', 'update', '[[[]]]', NULL, 0, '2026-01-15 07:00:00.000017+00', 2);
INSERT INTO public.change_set_entries VALUES ('q-entry0', 'q-change-set', 'page', 'p', 'update', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, 1, '2026-01-15 11:00:00.000015+00', 3);
INSERT INTO public.change_set_entries VALUES ('q-entry1', 'q-change-set', 'page', 'p', 'update', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, 0, '2026-01-15 11:00:00.000016+00', 4);
INSERT INTO public.change_set_entries VALUES ('b-entry0', 'b-change-set', 'page', 'p', 'update', '0', NULL, 1, '2026-01-15 12:00:00.000015+00', 5);
INSERT INTO public.change_set_entries VALUES ('b-entry1', 'b-change-set', 'page', 'p', 'update', '0', NULL, 0, '2026-01-15 12:00:00.000016+00', 6);
INSERT INTO public.change_set_entries VALUES ('k-entry0', 'k-change-set', 'page', 'p', 'update', '"1e16"', NULL, 1, '2026-01-15 12:00:00.000016+00', 7);
INSERT INTO public.change_set_entries VALUES ('k-entry1', 'k-change-set', 'page', 'p', 'update', '"1e16"', NULL, 0, '2026-01-15 12:00:00.000017+00', 8);
INSERT INTO public.change_set_entries VALUES ('m-entry0', 'm-change-set', 'page', 'p', 'update', '{"a": [null, true, 1.5], "b": 1}', NULL, 1, '2026-01-15 15:00:00.000015+00', 9);
INSERT INTO public.change_set_entries VALUES ('m-entry1', 'm-change-set', 'page', 'p', 'update', '{"a": [null, true, 1.5], "b": 1}', NULL, 0, '2026-01-15 15:00:00.000016+00', 10);
INSERT INTO public.change_set_entries VALUES ('a-entry0', 'a-change-set', 'page', 'p', 'update', 'false', NULL, 1, '2026-01-15 20:00:00.000015+00', 11);
INSERT INTO public.change_set_entries VALUES ('a-entry1', 'a-change-set', 'page', 'p', 'update', 'false', NULL, 0, '2026-01-15 20:00:00.000016+00', 12);
INSERT INTO public.change_set_entries VALUES ('MZo_ZPhHdBUONwodHH_hg', 'Z-1Eu3TuvC-8t8LgSpgdG', 'task', 'check-task', 'update', '{"id": "check-task", "seq": 23, "name": "check", "type": "auto", "epoch": 0, "order": 0, "status": "pending", "summary": null, "category": "execute", "phase_id": "check-phase", "priority": "medium", "created_at": "2026-11-28T16:54:05.182192+00:00", "not_before": null, "updated_at": "2026-11-28T16:54:05.182192+00:00", "description": null, "max_retries": 1, "retry_count": 0, "initiative_id": "limited-initiative", "depends_on_ids": [], "parent_task_id": null, "open_dependencies": 0, "claimed_by_agent_id": null}', '{"id": "check-task", "seq": 23, "name": "check", "type": "auto", "epoch": 0, "order": 0, "status": "pending", "summary": null, "category": "execute", "phase_id": "check-phase", "priority": "medium", "created_at": "2026-11-28T16:54:05.182192+00:00", "not_before": null, "updated_at": "2026-11-28T16:54:05.411474+00:00", "description": "more to check", "max_retries": 1, "retry_count": 0, "initiative_id": "limited-initiative", "depends_on_ids": [], "parent_task_id": null, "open_dependencies": 0, "claimed_by_agent_id": null}', 0, '2026-11-28 16:54:05.423109+00', 13);
INSERT INTO public.change_set_entries VALUES ('ESMW4kRaKPJ7YRcTVNXjy', 'Z-1Eu3TuvC-8t8LgSpgdG', 'phase', 'check-phase', 'update', '{"id": "check-phase", "seq": 12, "name": "check", "status": "pending", "content": null, "created_at": "2026-11-28T16:54:05.137874+00:00", "merge_base": null, "updated_at": "2026-11-28T16:54:05.137874+00:00", "initiative_id": "limited-initiative", "depends_on_ids": ["build-phase"], "open_dependencies": 1}', '{"id": "check-phase", "seq": 12, "name": "check all", "status": "pending", "content": null, "created_at": "2026-11-28T16:54:05.137874+00:00", "merge_base": null, "updated_at": "2026-11-28T16:54:05.427211+00:00", "initiative_id": "limited-initiative", "depends_on_ids": ["build-phase"], "open_dependencies": 1}', 1, '2026-11-28 16:54:05.437961+00', 14);
INSERT INTO public.change_sets VALUES ('z-change-set', 'z-initiative', 'z-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 07:00:00.000015+00', '2026-01-15 07:00:00.000015+00', 1);
INSERT INTO public.change_sets VALUES ('q-change-set', 'q-initiative', 'q-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 11:00:00.000014+00', '2026-01-15 11:00:00.000014+00', 2);
INSERT INTO public.change_sets VALUES ('b-change-set', 'b-initiative', 'b-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 12:00:00.000014+00', '2026-01-15 12:00:00.000014+00', 3);
INSERT INTO public.change_sets VALUES ('k-change-set', 'k-initiative', 'k-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 12:00:00.000015+00', '2026-01-15 12:00:00.000015+00', 4);
INSERT INTO public.change_sets VALUES ('m-change-set', 'm-initiative', 'm-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 15:00:00.000014+00', '2026-01-15 15:00:00.000014+00', 5);
INSERT INTO public.change_sets VALUES ('a-change-set', 'a-initiative', 'a-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 20:00:00.000014+00', '2026-01-15 20:00:00.000014+00', 6);
INSERT INTO public.change_sets VALUES ('Z-1Eu3TuvC-8t8LgSpgdG', 'limited-initiative', '7sws4-FN_jSMellEKtgif', 'serene-otter', 'plan', NULL, 'applied', NULL, '2026-11-28 16:54:05.398278+00', '2026-11-28 16:54:05.398278+00', 7);
INSERT INTO public.chat_messages VALUES ('z-chat-message', 'm-chat', 'user', 'naïve 日本語 🦊 ‮', 'z-change-set', '2026-01-15 07:00:00.000019+00', 1);
INSERT INTO public.chat_messages VALUES ('q-chat-message', 'm-chat', 'user', '', 'q-change-set', '2026-01-15 11:00:00.000018+00', 2);
INSERT INTO public.chat_messages VALUES ('b-chat-message', 'm-chat', 'user', 'plain', 'b-change-set', '2026-01-15 12:00:00.000018+00', 3);
INSERT INTO public.chat_messages VALUES ('k-chat-message', 'm-chat', 'user', '', 'k-change-set', '2026-01-15 12:00:00.000019+00', 4);
INSERT INTO public.chat_messages VALUES ('m-chat-message', 'm-chat', 'user', 'It''s "quoted"
	tabbed \ slash', 'm-change-set', '2026-01-15 15:00:00.000018+00', 5);
INSERT INTO public.chat_messages VALUES ('a-chat-message', 'm-chat', 'user', '''; DROP TABLE tasks; --', 'a-change-set', '2026-01-15 20:00:00.000018+00', 6);
INSERT INTO public.chat_sessions VALUES ('z-chat', 'phase', 'p', 'z-initiative', 'z-agent', 'active', '2026-01-15 07:00:00.000018+00', '2026-01-15 07:00:00.000018+00', 1);
INSERT INTO public.chat_sessions VALUES ('q-chat', 'phase', 'p', 'q-initiative', 'q-agent', 'active', '2026-01-15 11:00:00.000017+00', '2026-01-15 11:00:00.000017+00', 2);
INSERT INTO public.chat_sessions VALUES ('b-chat', 'phase', 'p', 'b-initiative', 'b-agent', 'active', '2026-01-15 12:00:00.000017+00', '2026-01-15 12:00:00.000017+00', 3);
INSERT INTO public.chat_sessions VALUES ('k-chat', 'phase', 'p', 'k-initiative', 'k-agent', 'active', '2026-01-15 12:00:00.000018+00', '2026-01-15 12:00:00.000018+00', 4);
INSERT INTO public.chat_sessions VALUES ('m-chat', 'phase', 'p', 'm-initiative', 'm-agent', 'active', '2026-01-15 15:00:00.000017+00', '2026-01-15 15:00:00.000017+00', 5);
INSERT INTO public.chat_sessions VALUES ('a-chat', 'phase', 'p', 'a-initiative', 'a-agent', 'active', '2026-01-15 20:00:00.000017+00', '2026-01-15 20:00:00.000017+00', 6);
INSERT INTO public.conversations VALUES ('z-conversation', 'z-agent', 'm-agent', 'z-initiative', 'z-phase', 'z-task', 'naïve 日本語 🦊 ‮', NULL, 'pending', '2026-01-15 07:00:00.000014+00', '2026-01-15 07:00:00.000014+00', 1);
INSERT INTO public.conversations VALUES ('q-conversation', 'q-agent', 'a-agent', 'q-initiative', 'q-phase', 'q-task', '', NULL, 'pending', '2026-01-15 11:00:00.000013+00', '2026-01-15 11:00:00.000013+00', 2);
INSERT INTO public.conversations VALUES ('b-conversation', 'b-agent', 'k-agent', 'b-initiative', 'b-phase', 'b-task', 'plain', NULL, 'pending', '2026-01-15 12:00:00.000013+00', '2026-01-15 12:00:00.000013+00', 3);
INSERT INTO public.conversations VALUES ('k-conversation', 'k-agent', 'z-agent', 'k-initiative', 'k-phase', 'k-task', '', NULL, 'pending', '2026-01-15 12:00:00.000014+00', '2026-01-15 12:00:00.000014+00', 4);
INSERT INTO public.conversations VALUES ('m-conversation', 'm-agent', 'm-agent', 'm-initiative', 'm-phase', 'm-task', 'It''s "quoted"
	tabbed \ slash', NULL, 'pending', '2026-01-15 15:00:00.000013+00', '2026-01-15 15:00:00.000013+00', 5);
INSERT INTO public.conversations VALUES ('a-conversation', 'a-agent', 'b-agent', 'a-initiative', 'a-phase', 'a-task', '''; DROP TABLE tasks; --', NULL, 'pending', '2026-01-15 20:00:00.000013+00', '2026-01-15 20:00:00.000013+00', 6);
INSERT INTO public.cw_store_version VALUES ('0003');
INSERT INTO public.errands VALUES ('z-errand', 'naïve 日本語 🦊 ‮', 'b', 'main', 'z-agent', 'z-project', 'active', '2026-01-15 07:00:00.00002+00', '2026-01-15 07:00:00.00002+00', 1);
INSERT INTO public.errands VALUES ('q-errand', '', 'b', 'main', 'q-agent', 'q-project', 'active', '2026-01-15 11:00:00.000019+00', '2026-01-15 11:00:00.000019+00', 2);
INSERT INTO public.errands VALUES ('b-errand', 'plain', 'b', 'main', 'b-agent', 'b-project', 'active', '2026-01-15 12:00:00.000019+00', '2026-01-15 12:00:00.000019+00', 3);
INSERT INTO public.errands VALUES ('k-errand', '', 'b', 'main', 'k-agent', 'k-project', 'active', '2026-01-15 12:00:00.00002+00', '2026-01-15 12:00:00.00002+00', 4);
INSERT INTO public.errands VALUES ('m-errand', 'It''s "quoted"
	tabbed \ slash', 'b', 'main', 'm-agent', 'm-project', 'active', '2026-01-15 15:00:00.000019+00', '2026-01-15 15:00:00.000019+00', 5);
INSERT INTO public.errands VALUES ('a-errand', '''; DROP TABLE tasks; --', 'b', 'main', 'a-agent', 'a-project', 'active', '2026-01-15 20:00:00.000019+00', '2026-01-15 20:00:00.000019+00', 6);
INSERT INTO public.errands VALUES ('free-errand', 'no project', 'b', 'main', NULL, NULL, 'active', '2026-11-28 13:12:33.906413+00', '2026-11-28 13:12:33.906413+00', 7);
INSERT INTO public.initiative_projects VALUES ('m-initiative', 'm-project');
INSERT INTO public.initiative_projects VALUES ('z-initiative', 'z-project');
INSERT INTO public.initiative_projects VALUES ('k-initiative', 'k-project');
INSERT INTO public.initiative_projects VALUES ('b-initiative', 'b-project');
INSERT INTO public.initiative_projects VALUES ('a-initiative', 'a-project');
INSERT INTO public.initiative_projects VALUES ('q-initiative', 'q-project');
INSERT INTO public.initiatives VALUES ('z-initiative', 'naïve 日本語 🦊 ‮', 'active', 'naïve 日本語 🦊 ‮', '2026-01-15 07:00:00+00', '2026-01-15 07:00:00+00', 1, NULL, NULL);
INSERT INTO public.initiatives VALUES ('q-initiative', '', 'active', '', '2026-01-15 11:00:00+00', '2026-01-15 11:00:00+00', 2, NULL, NULL);
INSERT INTO public.initiatives VALUES ('b-initiative', 'plain', 'active', 'plain', '2026-01-15 12:00:00+00', '2026-01-15 12:00:00+00', 3, NULL, NULL);
INSERT INTO public.initiatives VALUES ('k-initiative', '-', 'active', '', '2026-01-15 12:00:00+00', '2026-01-15 12:00:00+00', 4, NULL, NULL);
INSERT INTO public.initiatives VALUES ('a-initiative', '''; DROP TABLE tasks; --', 'active', '''; DROP TABLE tasks; --', '2026-01-15 20:00:00+00', '2026-01-15 20:00:00+00', 6, NULL, NULL);
INSERT INTO public.initiatives VALUES ('initiative', 'Plan', 'active', 'cw/plan', '2026-11-28 13:12:33.911203+00', '2026-11-28 13:12:33.911203+00', 7, NULL, NULL);
INSERT INTO public.initiatives VALUES ('limited-initiative', 'Limited', 'active', 'cw/limited', '2026-11-28 16:54:05.12772+00', '2026-11-28 16:54:05.12772+00', 8, 3, 4);
INSERT INTO public.initiatives VALUES ('m-initiative', 'It''s "quoted"
	tabbed \ slash', 'active', 'It''s "quoted"
	tabbed \ slash', '2026-01-15 15:00:00+00', '2026-01-15 15:00:00+00', 5, NULL, 6);
INSERT INTO public.messages VALUES ('z-message', 'agent', 'z-agent', 'user', NULL, 'info', 'naïve 日本語 🦊 ‮', true, 'pending', 'm-message', '2026-01-15 07:00:00.000011+00', '2026-01-15 07:00:00.000011+00', 1);
INSERT INTO public.messages VALUES ('q-message', 'agent', 'q-agent', 'user', NULL, 'info', '', true, 'pending', 'a-message', '2026-01-15 11:00:00.00001+00', '2026-01-15 11:00:00.00001+00', 2);
INSERT INTO public.messages VALUES ('b-message', 'agent', 'b-agent', 'user', NULL, 'info', 'plain', true, 'pending', 'k-message', '2026-01-15 12:00:00.00001+00', '2026-01-15 12:00:00.00001+00', 3);
INSERT INTO public.messages VALUES ('k-message', 'agent', 'k-agent', 'user', NULL, 'info', '', false, 'pending', 'z-message', '2026-01-15 12:00:00.000011+00', '2026-01-15 12:00:00.000011+00', 4);
INSERT INTO public.messages VALUES ('m-message', 'agent', 'm-agent', 'user', NULL, 'info', 'It''s "quoted"
	tabbed \ slash', false, 'pending', NULL, '2026-01-15 15:00:00.00001+00', '2026-01-15 15:00:00.00001+00', 5);
INSERT INTO public.messages VALUES ('a-message', 'agent', 'a-agent', 'user', NULL, 'info', '''; DROP TABLE tasks; --', false, 'pending', 'b-message', '2026-01-15 20:00:00.00001+00', '2026-01-15 20:00:00.00001+00', 6);
INSERT INTO public.pages VALUES ('z-root', 'z-initiative', NULL, 'naïve 日本語 🦊 ‮', '[[[]]]', 0, '2026-01-15 07:00:00.000002+00', '2026-01-15 07:00:00.000002+00', 1);
INSERT INTO public.pages VALUES ('z-page', 'z-initiative', 'z-root', 't', NULL, 1, '2026-01-15 07:00:00.000003+00', '2026-01-15 07:00:00.000003+00', 2);
INSERT INTO public.pages VALUES ('q-root', 'q-initiative', NULL, '', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 0, '2026-01-15 11:00:00.000002+00', '2026-01-15 11:00:00.000002+00', 3);
INSERT INTO public.pages VALUES ('q-page', 'q-initiative', 'q-root', 't', NULL, 1, '2026-01-15 11:00:00.000003+00', '2026-01-15 11:00:00.000003+00', 4);
INSERT INTO public.pages VALUES ('b-root', 'b-initiative', NULL, 'plain', '0', 0, '2026-01-15 12:00:00.000002+00', '2026-01-15 12:00:00.000002+00', 5);
INSERT INTO public.pages VALUES ('k-root', 'k-initiative', NULL, '', '"1e16"', 0, '2026-01-15 12:00:00.000002+00', '2026-01-15 12:00:00.000002+00', 6);
INSERT INTO public.pages VALUES ('b-page', 'b-initiative', 'b-root', 't', NULL, 1, '2026-01-15 12:00:00.000003+00', '2026-01-15 12:00:00.000003+00', 7);
INSERT INTO public.pages VALUES ('k-page', 'k-initiative', 'k-root', 't', NULL, 0, '2026-01-15 12:00:00.000003+00', '2026-01-15 12:00:00.000003+00', 8);
INSERT INTO public.pages VALUES ('m-root', 'm-initiative', NULL, 'It''s "quoted"
	tabbed \ slash', '{"a": [null, true, 1.5], "b": 1}', 0, '2026-01-15 15:00:00.000002+00', '2026-01-15 15:00:00.000002+00', 9);
INSERT INTO public.pages VALUES ('m-page', 'm-initiative', 'm-root', 't', NULL, 0, '2026-01-15 15:00:00.000003+00', '2026-01-15 15:00:00.000003+00', 10);
INSERT INTO public.pages VALUES ('a-root', 'a-initiative', NULL, '''; DROP TABLE tasks; --', 'false', 0, '2026-01-15 20:00:00.000002+00', '2026-01-15 20:00:00.000002+00', 11);
INSERT INTO public.pages VALUES ('a-page', 'a-initiative', 'a-root', 't', NULL, 0, '2026-01-15 20:00:00.000003+00', '2026-01-15 20:00:00.000003+00', 12);
INSERT INTO public.phase_dependencies VALUES ('z-phase', 'm-phase');
INSERT INTO public.phase_dependencies VALUES ('k-phase', 'z-phase');
INSERT INTO public.phase_dependencies VALUES ('b-phase', 'k-phase');
INSERT INTO public.phase_dependencies VALUES ('a-phase', 'b-phase');
INSERT INTO public.phase_dependencies VALUES ('q-phase', 'a-phase');
INSERT INTO public.phase_dependencies VALUES ('second-phase', 'first-phase');
INSERT INTO public.phase_dependencies VALUES ('third-phase', 'first-phase');
INSERT INTO public.phase_dependencies VALUES ('last-phase', 'second-phase');
INSERT INTO public.phase_dependencies VALUES ('last-phase', 'third-phase');
INSERT INTO public.phase_dependencies VALUES ('check-phase', 'build-phase');
INSERT INTO public.phases VALUES ('second-phase', 'initiative', 'second', NULL, 'pending', NULL, '2026-11-28 13:12:33.915493+00', '2026-11-28 13:12:33.915493+00', 8, 0);
INSERT INTO public.phases VALUES ('first-phase', 'initiative', 'first', NULL, 'completed', NULL, '2026-11-28 13:12:33.914121+00', '2026-11-28 13:12:33.923045+00', 7, 0);
INSERT INTO public.phases VALUES ('third-phase', 'initiative', 'third', NULL, 'in_progress', NULL, '2026-11-28 13:12:33.916354+00', '2026-11-28 13:12:33.924149+00', 9, 0);
INSERT INTO public.phases VALUES ('z-phase', 'z-initiative', 'naïve 日本語 🦊 ‮', '[[[]]]', 'approved', NULL, '2026-01-15 07:00:00.000001+00', '2026-01-15 07:00:00.000001+00', 1, 1);
INSERT INTO public.phases VALUES ('q-phase', 'q-initiative', '', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 'approved', NULL, '2026-01-15 11:00:00.000001+00', '2026-01-15 11:00:00.000001+00', 2, 1);
INSERT INTO public.phases VALUES ('b-phase', 'b-initiative', 'plain', '0', 'approved', NULL, '2026-01-15 12:00:00.000001+00', '2026-01-15 12:00:00.000001+00', 3, 1);
INSERT INTO public.phases VALUES ('k-phase', 'k-initiative', '', '"1e16"', 'approved', NULL, '2026-01-15 12:00:00.000001+00', '2026-01-15 12:00:00.000001+00', 4, 1);
INSERT INTO public.phases VALUES ('a-phase', 'a-initiative', '''; DROP TABLE tasks; --', 'false', 'approved', NULL, '2026-01-15 20:00:00.000001+00', '2026-01-15 20:00:00.000001+00', 6, 1);
INSERT INTO public.phases VALUES ('last-phase', 'initiative', 'last', NULL, 'pending', NULL, '2026-11-28 13:12:33.916694+00', '2026-11-28 13:12:33.916694+00', 10, 2);
INSERT INTO public.phases VALUES ('build-phase', 'limited-initiative', 'build', NULL, 'in_progress', NULL, '2026-11-28 16:54:05.129351+00', '2026-11-28 16:54:05.231312+00', 11, 0);
INSERT INTO public.phases VALUES ('m-phase', 'm-initiative', 'It''s "quoted"
	tabbed \ slash', '{"a": [null, true, 1.5], "b": 1}', 'in_progress', NULL, '2026-01-15 15:00:00.000001+00', '2026-11-28 16:54:05.383683+00', 5, 0);
INSERT INTO public.phases VALUES ('check-phase', 'limited-initiative', 'check all', NULL, 'pending', NULL, '2026-11-28 16:54:05.137874+00', '2026-11-28 16:54:05.427211+00', 12, 1);
INSERT INTO public.projects VALUES ('z-project', 'z-project', 'https://git.example.org/z', 'main', NULL, '2026-01-15 07:00:00.00001+00', '2026-01-15 07:00:00.00001+00', 1);
INSERT INTO public.projects VALUES ('q-project', 'q-project', 'https://git.example.org/q', 'main', NULL, '2026-01-15 11:00:00.000009+00', '2026-01-15 11:00:00.000009+00', 2);
INSERT INTO public.projects VALUES ('b-project', 'b-project', 'https://git.example.org/b', 'main', NULL, '2026-01-15 12:00:00.000009+00', '2026-01-15 12:00:00.000009+00', 3);
INSERT INTO public.projects VALUES ('k-project', 'k-project', 'https://git.example.org/k', 'main', NULL, '2026-01-15 12:00:00.00001+00', '2026-01-15 12:00:00.00001+00', 4);
INSERT INTO public.projects VALUES ('m-project', 'm-project', 'https://git.example.org/m', 'main', NULL, '2026-01-15 15:00:00.000009+00', '2026-01-15 15:00:00.000009+00', 5);
INSERT INTO public.projects VALUES ('a-project', 'a-project', 'https://git.example.org/a', 'main', NULL, '2026-01-15 20:00:00.000009+00', '2026-01-15 20:00:00.000009+00', 6);
INSERT INTO public.proposals VALUES ('z-proposal', 'z-agent', 'z-initiative', 'task', NULL, 'naïve 日本語 🦊 ‮', NULL, NULL, '[[[]]]', 'pending', 0, '2026-01-15 07:00:00.000009+00', '2026-01-15 07:00:00.000009+00', 1);
INSERT INTO public.proposals VALUES ('q-proposal', 'q-agent', 'q-initiative', 'task', NULL, '', NULL, NULL, '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 'pending', 0, '2026-01-15 11:00:00.000008+00', '2026-01-15 11:00:00.000008+00', 2);
INSERT INTO public.proposals VALUES ('b-proposal', 'b-agent', 'b-initiative', 'task', NULL, 'plain', NULL, NULL, '0', 'pending', 0, '2026-01-15 12:00:00.000008+00', '2026-01-15 12:00:00.000008+00', 3);
INSERT INTO public.proposals VALUES ('k-proposal', 'k-agent', 'k-initiative', 'task', NULL, '', NULL, NULL, '"1e16"', 'pending', 0, '2026-01-15 12:00:00.000009+00', '2026-01-15 12:00:00.000009+00', 4);
INSERT INTO public.proposals VALUES ('m-proposal', 'm-agent', 'm-initiative', 'task', NULL, 'It''s "quoted"
	tabbed \ slash', NULL, NULL, '{"a": [null, true, 1.5], "b": 1}', 'pending', 0, '2026-01-15 15:00:00.000008+00', '2026-01-15 15:00:00.000008+00', 5);
INSERT INTO public.proposals VALUES ('a-proposal', 'a-agent', 'a-initiative', 'task', NULL, '''; DROP TABLE tasks; --', NULL, NULL, 'false', 'pending', 0, '2026-01-15 20:00:00.000008+00', '2026-01-15 20:00:00.000008+00', 6);
INSERT INTO public.review_comments VALUES ('z-comment', 'm-phase', 'naïve 日本語 🦊 ‮', 1, 'added', 'naïve 日本語 🦊 ‮', 'you', true, '2026-01-15 07:00:00.000021+00', '2026-01-15 07:00:00.000021+00', 1);
INSERT INTO public.review_comments VALUES ('q-comment', 'm-phase', '', 5, 'added', '', 'you', true, '2026-01-15 11:00:00.00002+00', '2026-01-15 11:00:00.00002+00', 2);
INSERT INTO public.review_comments VALUES ('b-comment', 'm-phase', 'plain', 3, 'added', 'plain', 'you', true, '2026-01-15 12:00:00.00002+00', '2026-01-15 12:00:00.00002+00', 3);
INSERT INTO public.review_comments VALUES ('k-comment', 'm-phase', '', 2, 'added', '', 'you', false, '2026-01-15 12:00:00.000021+00', '2026-01-15 12:00:00.000021+00', 4);
INSERT INTO public.review_comments VALUES ('m-comment', 'm-phase', 'It''s "quoted"
	tabbed \ slash', 0, 'added', 'It''s "quoted"
	tabbed \ slash', 'you', false, '2026-01-15 15:00:00.00002+00', '2026-01-15 15:00:00.00002+00', 5);
INSERT INTO public.review_comments VALUES ('a-comment', 'm-phase', '''; DROP TABLE tasks; --', 4, 'added', '''; DROP TABLE tasks; --', 'you', false, '2026-01-15 20:00:00.00002+00', '2026-01-15 20:00:00.00002+00', 6);
INSERT INTO public.store_state VALUES ('dispatch_turn', '5');
INSERT INTO public.task_dependencies VALUES ('z-task', 'm-task');
INSERT INTO public.task_dependencies VALUES ('k-task', 'z-task');
INSERT INTO public.task_dependencies VALUES ('b-task', 'k-task');
INSERT INTO public.task_dependencies VALUES ('a-task', 'b-task');
INSERT INTO public.task_dependencies VALUES ('q-task', 'a-task');
INSERT INTO public.task_dependencies VALUES ('two-task', 'one-task');
INSERT INTO public.task_dependencies VALUES ('three-task', 'one-task');
INSERT INTO public.task_dependencies VALUES ('four-task', 'two-task');
INSERT INTO public.task_dependencies VALUES ('four-task', 'three-task');
INSERT INTO public.task_dependencies VALUES ('five-task', 'four-task');
INSERT INTO public.task_dependencies VALUES ('four-task', 'one-task');
INSERT INTO public.task_dependencies VALUES ('waiting-task', 'held-task');
INSERT INTO public.task_dependencies VALUES ('waiting-task', 'ended-task');
INSERT INTO public.tasks VALUES ('z-subtask', 'z-phase', 'z-initiative', 'z-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 07:00:00.000005+00', '2026-01-15 07:00:00.000005+00', 2, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('q-subtask', 'q-phase', 'q-initiative', 'q-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 11:00:00.000005+00', '2026-01-15 11:00:00.000005+00', 4, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('b-subtask', 'b-phase', 'b-initiative', 'b-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 12:00:00.000005+00', '2026-01-15 12:00:00.000005+00', 7, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('k-subtask', 'k-phase', 'k-initiative', 'k-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 12:00:00.000005+00', '2026-01-15 12:00:00.000005+00', 8, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('m-subtask', 'm-phase', 'm-initiative', 'm-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 15:00:00.000005+00', '2026-01-15 15:00:00.000005+00', 10, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('a-subtask', 'a-phase', 'a-initiative', 'a-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 20:00:00.000005+00', '2026-01-15 20:00:00.000005+00', 12, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('one-task', 'first-phase', 'initiative', NULL, 'one', NULL, 'auto', 'execute', 'medium', 'completed', 0, 'done', 0, '2026-11-28 13:12:33.925751+00', '2026-11-28 13:12:33.961399+00', 13, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('three-task', 'third-phase', 'initiative', NULL, 'three', NULL, 'auto', 'execute', 'medium', 'in_progress', 0, NULL, 0, '2026-11-28 13:12:33.928567+00', '2026-11-28 13:12:33.96457+00', 15, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('two-task', 'second-phase', 'initiative', NULL, 'two', NULL, 'auto', 'execute', 'medium', 'blocked', 0, NULL, 0, '2026-11-28 13:12:33.92831+00', '2026-11-28 13:12:33.965083+00', 14, 3, NULL, 0, 0, NULL);
INSERT INTO public.tasks VALUES ('z-task', 'z-phase', 'z-initiative', NULL, 'naïve 日本語 🦊 ‮', 'naïve 日本語 🦊 ‮', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 07:00:00.000004+00', '2026-01-15 07:00:00.000004+00', 1, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('q-task', 'q-phase', 'q-initiative', NULL, '', '', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 11:00:00.000004+00', '2026-01-15 11:00:00.000004+00', 3, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('b-task', 'b-phase', 'b-initiative', NULL, 'plain', 'plain', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 12:00:00.000004+00', '2026-01-15 12:00:00.000004+00', 5, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('k-task', 'k-phase', 'k-initiative', NULL, '', '', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-01-15 12:00:00.000004+00', '2026-01-15 12:00:00.000004+00', 6, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('a-task', 'a-phase', 'a-initiative', NULL, '''; DROP TABLE tasks; --', '''; DROP TABLE tasks; --', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-01-15 20:00:00.000004+00', '2026-01-15 20:00:00.000004+00', 11, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('four-task', 'last-phase', 'initiative', NULL, 'four', NULL, 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-11-28 13:12:33.932936+00', '2026-11-28 13:12:33.932936+00', 16, 3, NULL, 0, 2, NULL);
INSERT INTO public.tasks VALUES ('five-task', NULL, NULL, NULL, 'five', NULL, 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-11-28 13:12:33.935419+00', '2026-11-28 13:12:33.935419+00', 17, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('ended-task', 'build-phase', 'limited-initiative', NULL, 'ended', NULL, 'auto', 'execute', 'medium', 'completed', 0, 'done', 0, '2026-11-28 16:54:05.170511+00', '2026-11-28 16:54:05.255701+00', 19, 3, NULL, 1, 0, NULL);
INSERT INTO public.tasks VALUES ('waiting-task', 'build-phase', 'limited-initiative', NULL, 'waiting', NULL, 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-11-28 16:54:05.173952+00', '2026-11-28 16:54:05.173952+00', 21, 3, NULL, 0, 1, NULL);
INSERT INTO public.tasks VALUES ('held-task', 'build-phase', 'limited-initiative', NULL, 'held', NULL, 'auto', 'execute', 'medium', 'in_progress', 0, NULL, 0, '2026-11-28 16:54:05.166211+00', '2026-11-28 16:54:05.297024+00', 18, 3, NULL, 1, 0, '7sws4-FN_jSMellEKtgif');
INSERT INTO public.tasks VALUES ('late-task', 'build-phase', 'limited-initiative', NULL, 'late', NULL, 'auto', 'execute', 'medium', 'pending', 0, NULL, 1, '2026-11-28 16:54:05.173541+00', '2026-11-28 16:54:05.311553+00', 20, 3, '2036-11-25 16:54:05.320139+00', 1, 0, NULL);
INSERT INTO public.tasks VALUES ('given-back-task', 'build-phase', 'limited-initiative', NULL, 'given-back', NULL, 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-11-28 16:54:05.176791+00', '2026-11-28 16:54:05.33735+00', 22, 3, NULL, 2, 0, NULL);
INSERT INTO public.tasks VALUES ('loose-task', NULL, NULL, NULL, 'loose', NULL, 'auto', 'execute', 'medium', 'in_progress', 0, NULL, 0, '2026-11-28 16:54:05.341501+00', '2026-11-28 16:54:05.366637+00', 24, 3, NULL, 1, 0, 'Ty0dyGo2mTtFcFkTKqOFl');
INSERT INTO public.tasks VALUES ('m-task', 'm-phase', 'm-initiative', NULL, 'It''s "quoted"
	tabbed \ slash', 'It''s "quoted"
	tabbed \ slash', 'auto', 'execute', 'medium', 'in_progress', 0, NULL, 0, '2026-01-15 15:00:00.000004+00', '2026-11-28 16:54:05.383885+00', 9, 3, NULL, 1, 0, 'teKT_6vypyZhZOV6AuQNQ');
INSERT INTO public.tasks VALUES ('check-task', 'check-phase', 'limited-initiative', NULL, 'check', 'more to check', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-11-28 16:54:05.182192+00', '2026-11-28 16:54:05.411474+00', 23, 1, NULL, 0, 0, NULL);
SELECT pg_catalog.setval('public.accounts_seq_seq', 8, true);
SELECT pg_catalog.setval('public.agent_log_chunks_seq_seq', 13, false);
SELECT pg_catalog.setval('public.agents_seq_seq', 13, true);
SELECT pg_catalog.setval('public.change_set_entries_seq_seq', 14, true);
SELECT pg_catalog.setval('public.change_sets_seq_seq', 7, true);
SELECT pg_catalog.setval('public.chat_messages_seq_seq', 7, false);
SELECT pg_catalog.setval('public.chat_sessions_seq_seq', 7, false);
SELECT pg_catalog.setval('public.conversations_seq_seq', 7, false);
SELECT pg_catalog.setval('public.errands_seq_seq', 7, true);
SELECT pg_catalog.setval('public.initiatives_seq_seq', 8, true);
SELECT pg_catalog.setval('public.messages_seq_seq', 7, false);
SELECT pg_catalog.setval('public.pages_seq_seq', 13, false);
SELECT pg_catalog.setval('public.phases_seq_seq', 12, true);
SELECT pg_catalog.setval('public.projects_seq_seq', 7, false);
SELECT pg_catalog.setval('public.proposals_seq_seq', 7, false);
SELECT pg_catalog.setval('public.review_comments_seq_seq', 7, false);
SELECT pg_catalog.setval('public.tasks_seq_seq', 24, true);
ALTER TABLE ONLY public.cw_store_version
    ADD CONSTRAINT cw_store_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT pk_accounts PRIMARY KEY (id);
ALTER TABLE ONLY public.agent_log_chunks
    ADD CONSTRAINT pk_agent_log_chunks PRIMARY KEY (id);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT pk_agents PRIMARY KEY (id);
ALTER TABLE ONLY public.change_set_entries
    ADD CONSTRAINT pk_change_set_entries PRIMARY KEY (id);
ALTER TABLE ONLY public.change_sets
    ADD CONSTRAINT pk_change_sets PRIMARY KEY (id);
ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT pk_chat_messages PRIMARY KEY (id);
ALTER TABLE ONLY public.chat_sessions
    ADD CONSTRAINT pk_chat_sessions PRIMARY KEY (id);
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT pk_conversations PRIMARY KEY (id);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT pk_errands PRIMARY KEY (id);
ALTER TABLE ONLY public.initiative_projects
    ADD CONSTRAINT pk_initiative_projects PRIMARY KEY (initiative_id, project_id);
ALTER TABLE ONLY public.initiatives
    ADD CONSTRAINT pk_initiatives PRIMARY KEY (id);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT pk_messages PRIMARY KEY (id);
ALTER TABLE ONLY public.pages
    ADD CONSTRAINT pk_pages PRIMARY KEY (id);
ALTER TABLE ONLY public.phase_dependencies
    ADD CONSTRAINT pk_phase_dependencies PRIMARY KEY (phase_id, depends_on_phase_id);
ALTER TABLE ONLY public.phases
    ADD CONSTRAINT pk_phases PRIMARY KEY (id);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT pk_projects PRIMARY KEY (id);
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT pk_proposals PRIMARY KEY (id);
ALTER TABLE ONLY public.review_comments
    ADD CONSTRAINT pk_review_comments PRIMARY KEY (id);
ALTER TABLE ONLY public.store_state
    ADD CONSTRAINT pk_store_state PRIMARY KEY (name);
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT pk_task_dependencies PRIMARY KEY (task_id, depends_on_task_id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT pk_tasks PRIMARY KEY (id);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT uq_accounts_seq UNIQUE (seq);
ALTER TABLE ONLY public.agent_log_chunks
    ADD CONSTRAINT uq_agent_log_chunks_seq UNIQUE (seq);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_name UNIQUE (name);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_seq UNIQUE (seq);
ALTER TABLE ONLY public.change_set_entries
    ADD CONSTRAINT uq_change_set_entries_seq UNIQUE (seq);
ALTER TABLE ONLY public.change_sets
    ADD CONSTRAINT uq_change_sets_seq UNIQUE (seq);
ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT uq_chat_messages_seq UNIQUE (seq);
ALTER TABLE ONLY public.chat_sessions
    ADD CONSTRAINT uq_chat_sessions_seq UNIQUE (seq);
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT uq_conversations_seq UNIQUE (seq);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT uq_errands_seq UNIQUE (seq);
ALTER TABLE ONLY public.initiatives
    ADD CONSTRAINT uq_initiatives_seq UNIQUE (seq);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT uq_messages_seq UNIQUE (seq);
ALTER TABLE ONLY public.pages
    ADD CONSTRAINT uq_pages_seq UNIQUE (seq);
ALTER TABLE ONLY public.phases
    ADD CONSTRAINT uq_phases_seq UNIQUE (seq);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_name UNIQUE (name);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_seq UNIQUE (seq);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_url UNIQUE (url);
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT uq_proposals_seq UNIQUE (seq);
ALTER TABLE ONLY public.review_comments
    ADD CONSTRAINT uq_review_comments_seq UNIQUE (seq);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT uq_tasks_seq UNIQUE (seq);
CREATE INDEX ix_accounts_email ON public.accounts USING btree (email);
CREATE INDEX ix_accounts_exhausted_until ON public.accounts USING btree (exhausted_until) WHERE (exhausted_until IS NOT NULL);
CREATE INDEX ix_accounts_provider_last_used_at_sort_order_id ON public.accounts USING btree (provider, last_used_at, sort_order, id);
CREATE INDEX ix_agent_log_chunks_agent_id_seq ON public.agent_log_chunks USING btree (agent_id, seq);
CREATE INDEX ix_agent_log_chunks_agent_id_session_number_seq ON public.agent_log_chunks USING btree (agent_id, session_number, seq);
CREATE INDEX ix_agents_account_id_seq ON public.agents USING btree (account_id, seq);
CREATE INDEX ix_agents_initiative_id_seq ON public.agents USING btree (initiative_id, seq);
CREATE INDEX ix_agents_lease ON public.agents USING btree (lease_expires_at) WHERE (lease_expires_at IS NOT NULL);
CREATE INDEX ix_agents_lease_account ON public.agents USING btree (account_id) WHERE (lease_expires_at IS NOT NULL);
CREATE INDEX ix_agents_lease_initiative ON public.agents USING btree (initiative_id) WHERE (lease_expires_at IS NOT NULL);
CREATE INDEX ix_agents_session_id_seq ON public.agents USING btree (session_id, seq);
CREATE INDEX ix_agents_status_seq ON public.agents USING btree (status, seq);
CREATE INDEX ix_agents_task_id_seq ON public.agents USING btree (task_id, seq);
CREATE INDEX ix_change_set_entries_change_set_id_sort_order_seq ON public.change_set_entries USING btree (change_set_id, sort_order, seq);
CREATE INDEX ix_change_sets_agent_id_seq ON public.change_sets USING btree (agent_id, seq);
CREATE INDEX ix_change_sets_initiative_id_seq ON public.change_sets USING btree (initiative_id, seq);
CREATE INDEX ix_chat_messages_change_set_id ON public.chat_messages USING btree (change_set_id);
CREATE INDEX ix_chat_messages_chat_session_id_seq ON public.chat_messages USING btree (chat_session_id, seq);
CREATE INDEX ix_chat_sessions_agent_id_status_seq ON public.chat_sessions USING btree (agent_id, status, seq);
CREATE INDEX ix_chat_sessions_initiative_id ON public.chat_sessions USING btree (initiative_id);
CREATE INDEX ix_chat_sessions_target_type_target_id_status_seq ON public.chat_sessions USING btree (target_type, target_id, status, seq);
CREATE INDEX ix_conversations_from_agent_id_seq ON public.conversations USING btree (from_agent_id, seq);
CREATE INDEX ix_conversations_initiative_id ON public.conversations USING btree (initiative_id);
CREATE INDEX ix_conversations_pending ON public.conversations USING btree (seq) WHERE (status = 'pending'::text);
CREATE INDEX ix_conversations_phase_id ON public.conversations USING btree (phase_id);
CREATE INDEX ix_conversations_task_id ON public.conversations USING btree (task_id);
CREATE INDEX ix_conversations_to_agent_id_status_seq ON public.conversations USING btree (to_agent_id, status, seq);
CREATE INDEX ix_conversations_waiting ON public.conversations USING btree (from_agent_id, to_agent_id) WHERE (status = 'pending'::text);
CREATE INDEX ix_errands_agent_id ON public.errands USING btree (agent_id);
CREATE INDEX ix_errands_project_id_seq ON public.errands USING btree (project_id, seq);
CREATE INDEX ix_errands_status_seq ON public.errands USING btree (status, seq);
CREATE INDEX ix_initiative_projects_project_id ON public.initiative_projects USING btree (project_id);
CREATE INDEX ix_initiatives_status_seq ON public.initiatives USING btree (status, seq);
CREATE INDEX ix_messages_parent_message_id_seq ON public.messages USING btree (parent_message_id, seq);
CREATE INDEX ix_messages_recipient_id_recipient_type_seq ON public.messages USING btree (recipient_id, recipient_type, seq);
CREATE INDEX ix_messages_recipient_type_recipient_id_status ON public.messages USING btree (recipient_type, recipient_id, status);
CREATE INDEX ix_messages_recipient_type_status_seq ON public.messages USING btree (recipient_type, status, seq);
CREATE INDEX ix_messages_requiring_response ON public.messages USING btree (seq) WHERE (requires_response AND (status <> 'responded'::text));
CREATE INDEX ix_messages_sender_id_sender_type_seq ON public.messages USING btree (sender_id, sender_type, seq);
CREATE INDEX ix_messages_sender_type_seq ON public.messages USING btree (sender_type, seq);
CREATE INDEX ix_pages_initiative_id_seq ON public.pages USING btree (initiative_id, seq);
CREATE INDEX ix_pages_parent_page_id_sort_order_seq ON public.pages USING btree (parent_page_id, sort_order, seq);
CREATE INDEX ix_phase_dependencies_depends_on_phase_id ON public.phase_dependencies USING btree (depends_on_phase_id);
CREATE INDEX ix_phases_initiative_id_seq ON public.phases USING btree (initiative_id, seq);
CREATE INDEX ix_phases_open ON public.phases USING btree (initiative_id, status, open_dependencies) WHERE (status <> 'completed'::text);
CREATE INDEX ix_phases_status_seq ON public.phases USING btree (status, seq);
CREATE INDEX ix_proposals_agent_id_seq ON public.proposals USING btree (agent_id, seq);
CREATE INDEX ix_proposals_agent_id_status_seq ON public.proposals USING btree (agent_id, status, seq);
CREATE INDEX ix_proposals_initiative_id_seq ON public.proposals USING btree (initiative_id, seq);
CREATE INDEX ix_review_comments_phase_id_seq ON public.review_comments USING btree (phase_id, seq);
CREATE INDEX ix_task_dependencies_depends_on_task_id ON public.task_dependencies USING btree (depends_on_task_id);
CREATE INDEX ix_tasks_claimed ON public.tasks USING btree (claimed_by_agent_id) WHERE (claimed_by_agent_id IS NOT NULL);
CREATE INDEX ix_tasks_initiative_id_order_seq ON public.tasks USING btree (initiative_id, "order", seq);
CREATE INDEX ix_tasks_not_before ON public.tasks USING btree (not_before) WHERE (not_before IS NOT NULL);
CREATE INDEX ix_tasks_open ON public.tasks USING btree (phase_id, status, open_dependencies, (
CASE priority
    WHEN 'high'::text THEN 0
    WHEN 'medium'::text THEN 1
    ELSE 2
END), "order", seq) WHERE (status <> 'completed'::text);
CREATE INDEX ix_tasks_open_without_phase ON public.tasks USING btree (initiative_id, status, open_dependencies, (
CASE priority
    WHEN 'high'::text THEN 0
    WHEN 'medium'::text THEN 1
    ELSE 2
END), "order", seq) WHERE ((status <> 'completed'::text) AND (phase_id IS NULL));
CREATE INDEX ix_tasks_parent_task_id_order_seq ON public.tasks USING btree (parent_task_id, "order", seq);
CREATE INDEX ix_tasks_phase_id_order_seq ON public.tasks USING btree (phase_id, "order", seq);
CREATE INDEX ix_tasks_status_seq ON public.tasks USING btree (status, seq);
CREATE UNIQUE INDEX uq_pages_root ON public.pages USING btree (initiative_id) WHERE (parent_page_id IS NULL);
CREATE TRIGGER cw_store_phase_dependencies_changed AFTER INSERT OR DELETE OR UPDATE ON public.phase_dependencies FOR EACH ROW EXECUTE FUNCTION public.cw_store_phase_dependencies_changed();
CREATE TRIGGER cw_store_phases_changed AFTER UPDATE OF status ON public.phases FOR EACH ROW WHEN ((((old.status = 'completed'::text) <> (new.status = 'completed'::text)) OR ((old.status = 'completed'::text) AND (new.status <> 'completed'::text)))) EXECUTE FUNCTION public.cw_store_phases_changed();
CREATE TRIGGER cw_store_task_dependencies_changed AFTER INSERT OR DELETE OR UPDATE ON public.task_dependencies FOR EACH ROW EXECUTE FUNCTION public.cw_store_task_dependencies_changed();
CREATE TRIGGER cw_store_tasks_changed AFTER UPDATE OF status, claimed_by_agent_id ON public.tasks FOR EACH ROW WHEN ((((old.status = 'completed'::text) <> (new.status = 'completed'::text)) OR ((old.status = 'completed'::text) AND (new.status <> 'completed'::text)) OR ((old.claimed_by_agent_id IS NOT NULL) AND (new.claimed_by_agent_id IS NULL) AND (new.status <> 'completed'::text)))) EXECUTE FUNCTION public.cw_store_tasks_changed();
CREATE TRIGGER cw_store_tasks_deleted AFTER DELETE ON public.tasks FOR EACH ROW WHEN ((old.claimed_by_agent_id IS NOT NULL)) EXECUTE FUNCTION public.cw_store_tasks_deleted();
CREATE TRIGGER cw_store_tasks_taken AFTER UPDATE OF claimed_by_agent_id ON public.tasks FOR EACH ROW WHEN (((old.claimed_by_agent_id IS NOT NULL) AND (new.claimed_by_agent_id IS NULL) AND (new.status = 'in_progress'::text) AND (new.epoch = old.epoch))) EXECUTE FUNCTION public.cw_store_tasks_taken();
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT fk_agents_account_id FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT fk_agents_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT fk_agents_task_id FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.change_set_entries
    ADD CONSTRAINT fk_change_set_entries_change_set_id FOREIGN KEY (change_set_id) REFERENCES public.change_sets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.change_sets
    ADD CONSTRAINT fk_change_sets_agent_id FOREIGN KEY (agent_id) REFERENCES public.agents(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.change_sets
    ADD CONSTRAINT fk_change_sets_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT fk_chat_messages_change_set_id FOREIGN KEY (change_set_id) REFERENCES public.change_sets(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT fk_chat_messages_chat_session_id FOREIGN KEY (chat_session_id) REFERENCES public.chat_sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.chat_sessions
    ADD CONSTRAINT fk_chat_sessions_agent_id FOREIGN KEY (agent_id) REFERENCES public.agents(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.chat_sessions
    ADD CONSTRAINT fk_chat_sessions_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_from_agent_id FOREIGN KEY (from_agent_id) REFERENCES public.agents(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_phase_id FOREIGN KEY (phase_id) REFERENCES public.phases(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_task_id FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_to_agent_id FOREIGN KEY (to_agent_id) REFERENCES public.agents(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT fk_errands_agent_id FOREIGN KEY (agent_id) REFERENCES public.agents(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT fk_errands_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.initiative_projects
    ADD CONSTRAINT fk_initiative_projects_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.initiative_projects
    ADD CONSTRAINT fk_initiative_projects_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_parent_message_id FOREIGN KEY (parent_message_id) REFERENCES public.messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_recipient_id FOREIGN KEY (recipient_id) REFERENCES public.agents(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_sender_id FOREIGN KEY (sender_id) REFERENCES public.agents(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.pages
    ADD CONSTRAINT fk_pages_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.pages
    ADD CONSTRAINT fk_pages_parent_page_id FOREIGN KEY (parent_page_id) REFERENCES public.pages(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.phase_dependencies
    ADD CONSTRAINT fk_phase_dependencies_depends_on_phase_id FOREIGN KEY (depends_on_phase_id) REFERENCES public.phases(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.phase_dependencies
    ADD CONSTRAINT fk_phase_dependencies_phase_id FOREIGN KEY (phase_id) REFERENCES public.phases(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.phases
    ADD CONSTRAINT fk_phases_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT fk_proposals_agent_id FOREIGN KEY (agent_id) REFERENCES public.agents(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.proposals
    ADD CONSTRAINT fk_proposals_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.review_comments
    ADD CONSTRAINT fk_review_comments_phase_id FOREIGN KEY (phase_id) REFERENCES public.phases(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT fk_task_dependencies_depends_on_task_id FOREIGN KEY (depends_on_task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT fk_task_dependencies_task_id FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_claimed_by_agent_id FOREIGN KEY (claimed_by_agent_id) REFERENCES public.agents(id) ON DELETE SET NULL DEFERRABLE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_parent_task_id FOREIGN KEY (parent_task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_phase_id FOREIGN KEY (phase_id) REFERENCES public.phases(id) ON DELETE CASCADE;
