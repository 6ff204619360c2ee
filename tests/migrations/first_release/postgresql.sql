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
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.agent_log_chunks (
    id text NOT NULL COLLATE pg_catalog."C",
    agent_id text NOT NULL COLLATE pg_catalog."C",
    agent_name text NOT NULL COLLATE pg_catalog."C",
    session_number integer NOT NULL,
    content text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL
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
    CONSTRAINT ck_agents_mode CHECK ((mode = ANY (ARRAY['execute'::text, 'discuss'::text, 'plan'::text, 'detail'::text, 'refine'::text]))),
    CONSTRAINT ck_agents_status CHECK ((status = ANY (ARRAY['idle'::text, 'running'::text, 'waiting_for_input'::text, 'stopped'::text, 'crashed'::text])))
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
    CONSTRAINT ck_change_set_entries_action CHECK ((action = ANY (ARRAY['create'::text, 'update'::text, 'delete'::text]))),
    CONSTRAINT ck_change_set_entries_entity_type CHECK ((entity_type = ANY (ARRAY['page'::text, 'phase'::text, 'task'::text])))
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
    CONSTRAINT ck_change_sets_mode CHECK ((mode = ANY (ARRAY['plan'::text, 'detail'::text, 'refine'::text]))),
    CONSTRAINT ck_change_sets_status CHECK ((status = ANY (ARRAY['applied'::text, 'reverted'::text])))
);
CREATE TABLE public.chat_messages (
    id text NOT NULL COLLATE pg_catalog."C",
    chat_session_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    content text NOT NULL COLLATE pg_catalog."C",
    change_set_id text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_chat_messages_role CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text, 'system'::text])))
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
    CONSTRAINT ck_chat_sessions_status CHECK ((status = ANY (ARRAY['active'::text, 'closed'::text]))),
    CONSTRAINT ck_chat_sessions_target_type CHECK ((target_type = ANY (ARRAY['phase'::text, 'task'::text])))
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
    CONSTRAINT ck_conversations_status CHECK ((status = ANY (ARRAY['pending'::text, 'answered'::text])))
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
    project_id text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_errands_status CHECK ((status = ANY (ARRAY['active'::text, 'pending_review'::text, 'conflict'::text, 'merged'::text, 'abandoned'::text])))
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
    CONSTRAINT ck_initiatives_status CHECK ((status = ANY (ARRAY['active'::text, 'pending_review'::text, 'completed'::text, 'archived'::text])))
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
    CONSTRAINT ck_messages_recipient_type CHECK ((recipient_type = ANY (ARRAY['agent'::text, 'user'::text]))),
    CONSTRAINT ck_messages_sender_type CHECK ((sender_type = ANY (ARRAY['agent'::text, 'user'::text]))),
    CONSTRAINT ck_messages_status CHECK ((status = ANY (ARRAY['pending'::text, 'read'::text, 'responded'::text]))),
    CONSTRAINT ck_messages_type CHECK ((type = ANY (ARRAY['question'::text, 'info'::text, 'error'::text, 'response'::text])))
);
CREATE TABLE public.pages (
    id text NOT NULL COLLATE pg_catalog."C",
    initiative_id text NOT NULL COLLATE pg_catalog."C",
    parent_page_id text COLLATE pg_catalog."C",
    title text NOT NULL COLLATE pg_catalog."C",
    content jsonb,
    sort_order integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
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
    CONSTRAINT ck_phases_status CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'in_progress'::text, 'completed'::text, 'blocked'::text, 'pending_review'::text])))
);
CREATE TABLE public.projects (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL COLLATE pg_catalog."C",
    default_branch text DEFAULT 'main'::text NOT NULL COLLATE pg_catalog."C",
    last_fetched_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
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
    CONSTRAINT ck_proposals_status CHECK ((status = ANY (ARRAY['pending'::text, 'accepted'::text, 'dismissed'::text]))),
    CONSTRAINT ck_proposals_target_type CHECK ((target_type = ANY (ARRAY['page'::text, 'phase'::text, 'task'::text])))
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
    CONSTRAINT ck_review_comments_line_type CHECK ((line_type = ANY (ARRAY['added'::text, 'removed'::text, 'context'::text])))
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
    CONSTRAINT ck_tasks_category CHECK ((category = ANY (ARRAY['execute'::text, 'research'::text, 'discuss'::text, 'plan'::text, 'detail'::text, 'refine'::text, 'verify'::text, 'merge'::text, 'review'::text]))),
    CONSTRAINT ck_tasks_priority CHECK ((priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text]))),
    CONSTRAINT ck_tasks_status CHECK ((status = ANY (ARRAY['pending'::text, 'in_progress'::text, 'completed'::text, 'blocked'::text]))),
    CONSTRAINT ck_tasks_type CHECK ((type = 'auto'::text))
);
INSERT INTO public.accounts VALUES ('m-account', 'ada@example.org', 'claude', 'It''s "quoted"
	tabbed \ slash', 'token 0', false, NULL, NULL, 0, '2026-01-15 15:00:00.000006+00', '2026-01-15 15:00:00.000006+00');
INSERT INTO public.accounts VALUES ('z-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlIb3lggK16ddNhm2LS3nRaD0_xNEf9bKcHU0ty3XfPTzOhVxmI5d0mbjXN47xsDKRqdY-Z_VV2uCp7VNeHpUPoL8_mRg2IwnTwJHfMtxD3Uc=', 'cw-store:fernet:gAAAAABrCnUlJ69SCAJzXpP4iXTMeXHC_n6Ydr77x4ehG0og2YP5PfNi6RtrYINodVmQYUqFujC9cBpGqryaJACHi8FNjztvXA==', true, '2026-01-15 08:00:00+00', NULL, 1, '2026-01-15 07:00:00.000006+00', '2026-01-15 07:00:00.000007+00');
INSERT INTO public.accounts VALUES ('k-account', 'ada@example.org', 'claude', 'cw-store:plain:cw-store:looks like ours', 'token 2', true, NULL, NULL, 2, '2026-01-15 12:00:00.000006+00', '2026-01-15 12:00:00.000007+00');
INSERT INTO public.accounts VALUES ('b-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlAzGhv7cKy1gqoW9WS7hriZ7b-ri1CrAw4pwrWOiYB5sPyKlB5fzw8ounP0AsmtLLH4SMVgx37kuHG_SGV5XVBg==', 'cw-store:fernet:gAAAAABrCnUlt-j1MiKc0ZKk4bZZHTaklTdDgYQeKo0UuoaLTNvFi33LwTH-C-yVsp4fgmGb-bGqWz7CtxbbgAISL18Va__gag==', false, NULL, NULL, 3, '2026-01-15 12:00:00.000006+00', '2026-01-15 12:00:00.000006+00');
INSERT INTO public.accounts VALUES ('a-account', 'ada@example.org', 'claude', '''; DROP TABLE tasks; --', 'token 4', false, NULL, NULL, 4, '2026-01-15 20:00:00.000006+00', '2026-01-15 20:00:00.000006+00');
INSERT INTO public.accounts VALUES ('q-account', 'ada@example.org', 'claude', 'cw-store:fernet:gAAAAABrCnUlx2-d2XpstpaXEgsHam7Q849OkHfCSgcT5E-3XxrrGbNjz8R5ngyobkGXRmbN5pd7y_HJcZKvE6WDT6ySP-TECg==', 'cw-store:fernet:gAAAAABrCnUlmUI_Kh7LKmxJQbizk5fL_Fi669-yun21kwQb7uMClD9pFM9Mn0U1Bb4sLL2SxFvBmQ9qYxw2U0_IPJLgAk1WvA==', false, NULL, NULL, 5, '2026-01-15 11:00:00.000006+00', '2026-01-15 11:00:00.000006+00');
INSERT INTO public.agent_log_chunks VALUES ('m-chunk', 'agent', 'otter', 1, 'It''s "quoted"
	tabbed \ slash', '2026-01-15 15:00:00.000011+00');
INSERT INTO public.agent_log_chunks VALUES ('m-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 15:00:00.000012+00');
INSERT INTO public.agent_log_chunks VALUES ('z-chunk', 'agent', 'otter', 2, 'naïve 日本語 🦊 ‮', '2026-01-15 07:00:00.000012+00');
INSERT INTO public.agent_log_chunks VALUES ('z-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 07:00:00.000013+00');
INSERT INTO public.agent_log_chunks VALUES ('k-chunk', 'agent', 'otter', 1, '', '2026-01-15 12:00:00.000012+00');
INSERT INTO public.agent_log_chunks VALUES ('k-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 12:00:00.000013+00');
INSERT INTO public.agent_log_chunks VALUES ('b-chunk', 'agent', 'otter', 2, 'plain', '2026-01-15 12:00:00.000011+00');
INSERT INTO public.agent_log_chunks VALUES ('b-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 12:00:00.000012+00');
INSERT INTO public.agent_log_chunks VALUES ('a-chunk', 'agent', 'otter', 1, '''; DROP TABLE tasks; --', '2026-01-15 20:00:00.000011+00');
INSERT INTO public.agent_log_chunks VALUES ('a-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 20:00:00.000012+00');
INSERT INTO public.agent_log_chunks VALUES ('q-chunk', 'agent', 'otter', 2, '', '2026-01-15 11:00:00.000011+00');
INSERT INTO public.agent_log_chunks VALUES ('q-chunk2', 'agent', 'otter', 1, '{}
', '2026-01-15 11:00:00.000012+00');
INSERT INTO public.agents VALUES ('m-agent', 'm-otter', 'm-task', 'm-initiative', 'session', 'w', 'claude', 'm-account', 'crashed', 'execute', 0, 0, NULL, '{"a": [null, true, 1.5], "b": 1}', '{"a": [null, true, 1.5], "b": 1}', NULL, '2026-01-15 15:00:00.000007+00', '2026-01-15 15:00:00.000007+00');
INSERT INTO public.agents VALUES ('z-agent', 'z-otter', 'm-task', 'z-initiative', 'session', 'w', 'claude', 'z-account', 'running', 'execute', 1, -1, NULL, '[[[]]]', '[[[]]]', NULL, '2026-01-15 07:00:00.000008+00', '2026-01-15 07:00:00.000008+00');
INSERT INTO public.agents VALUES ('k-agent', 'k-otter', 'z-task', 'k-initiative', 'session', 'w', 'claude', 'k-account', 'running', 'execute', 2, -2, NULL, '"1e16"', '"1e16"', NULL, '2026-01-15 12:00:00.000008+00', '2026-01-15 12:00:00.000008+00');
INSERT INTO public.agents VALUES ('b-agent', 'b-otter', 'k-task', 'b-initiative', 'session', 'w', 'claude', 'b-account', 'running', 'execute', 3, -3, NULL, '0', '0', NULL, '2026-01-15 12:00:00.000007+00', '2026-01-15 12:00:00.000007+00');
INSERT INTO public.agents VALUES ('a-agent', 'a-otter', 'b-task', 'a-initiative', 'session', 'w', 'claude', 'a-account', 'running', 'execute', 4, -4, NULL, 'false', 'false', NULL, '2026-01-15 20:00:00.000007+00', '2026-01-15 20:00:00.000007+00');
INSERT INTO public.agents VALUES ('q-agent', 'q-otter', 'a-task', 'q-initiative', 'session', 'w', 'claude', 'q-account', 'running', 'execute', 5, -5, NULL, '{"big": 10000000000000000.0, "edge": 9223372036854775807}', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, '2026-01-15 11:00:00.000007+00', '2026-01-15 11:00:00.000007+00');
INSERT INTO public.change_set_entries VALUES ('m-entry0', 'm-change-set', 'page', 'p', 'update', '{"a": [null, true, 1.5], "b": 1}', NULL, 1, '2026-01-15 15:00:00.000015+00');
INSERT INTO public.change_set_entries VALUES ('m-entry1', 'm-change-set', 'page', 'p', 'update', '{"a": [null, true, 1.5], "b": 1}', NULL, 0, '2026-01-15 15:00:00.000016+00');
INSERT INTO public.change_set_entries VALUES ('z-entry0', 'z-change-set', 'page', 'p', 'update', '[[[]]]', NULL, 1, '2026-01-15 07:00:00.000016+00');
INSERT INTO public.change_set_entries VALUES ('z-entry1', 'z-change-set', 'page', 'p', 'update', '[[[]]]', NULL, 0, '2026-01-15 07:00:00.000017+00');
INSERT INTO public.change_set_entries VALUES ('k-entry0', 'k-change-set', 'page', 'p', 'update', '"1e16"', NULL, 1, '2026-01-15 12:00:00.000016+00');
INSERT INTO public.change_set_entries VALUES ('k-entry1', 'k-change-set', 'page', 'p', 'update', '"1e16"', NULL, 0, '2026-01-15 12:00:00.000017+00');
INSERT INTO public.change_set_entries VALUES ('b-entry0', 'b-change-set', 'page', 'p', 'update', '0', NULL, 1, '2026-01-15 12:00:00.000015+00');
INSERT INTO public.change_set_entries VALUES ('b-entry1', 'b-change-set', 'page', 'p', 'update', '0', NULL, 0, '2026-01-15 12:00:00.000016+00');
INSERT INTO public.change_set_entries VALUES ('a-entry0', 'a-change-set', 'page', 'p', 'update', 'false', NULL, 1, '2026-01-15 20:00:00.000015+00');
INSERT INTO public.change_set_entries VALUES ('a-entry1', 'a-change-set', 'page', 'p', 'update', 'false', NULL, 0, '2026-01-15 20:00:00.000016+00');
INSERT INTO public.change_set_entries VALUES ('q-entry0', 'q-change-set', 'page', 'p', 'update', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, 1, '2026-01-15 11:00:00.000015+00');
INSERT INTO public.change_set_entries VALUES ('q-entry1', 'q-change-set', 'page', 'p', 'update', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', NULL, 0, '2026-01-15 11:00:00.000016+00');
INSERT INTO public.change_sets VALUES ('m-change-set', 'm-initiative', 'm-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 15:00:00.000014+00', '2026-01-15 15:00:00.000014+00');
INSERT INTO public.change_sets VALUES ('z-change-set', 'z-initiative', 'z-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 07:00:00.000015+00', '2026-01-15 07:00:00.000015+00');
INSERT INTO public.change_sets VALUES ('k-change-set', 'k-initiative', 'k-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 12:00:00.000015+00', '2026-01-15 12:00:00.000015+00');
INSERT INTO public.change_sets VALUES ('b-change-set', 'b-initiative', 'b-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 12:00:00.000014+00', '2026-01-15 12:00:00.000014+00');
INSERT INTO public.change_sets VALUES ('a-change-set', 'a-initiative', 'a-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 20:00:00.000014+00', '2026-01-15 20:00:00.000014+00');
INSERT INTO public.change_sets VALUES ('q-change-set', 'q-initiative', 'q-agent', 'otter', 'plan', NULL, 'applied', NULL, '2026-01-15 11:00:00.000014+00', '2026-01-15 11:00:00.000014+00');
INSERT INTO public.chat_messages VALUES ('m-chat-message', 'm-chat', 'user', 'It''s "quoted"
	tabbed \ slash', 'm-change-set', '2026-01-15 15:00:00.000018+00');
INSERT INTO public.chat_messages VALUES ('z-chat-message', 'm-chat', 'user', 'naïve 日本語 🦊 ‮', 'z-change-set', '2026-01-15 07:00:00.000019+00');
INSERT INTO public.chat_messages VALUES ('k-chat-message', 'm-chat', 'user', '', 'k-change-set', '2026-01-15 12:00:00.000019+00');
INSERT INTO public.chat_messages VALUES ('b-chat-message', 'm-chat', 'user', 'plain', 'b-change-set', '2026-01-15 12:00:00.000018+00');
INSERT INTO public.chat_messages VALUES ('a-chat-message', 'm-chat', 'user', '''; DROP TABLE tasks; --', 'a-change-set', '2026-01-15 20:00:00.000018+00');
INSERT INTO public.chat_messages VALUES ('q-chat-message', 'm-chat', 'user', '', 'q-change-set', '2026-01-15 11:00:00.000018+00');
INSERT INTO public.chat_sessions VALUES ('m-chat', 'phase', 'p', 'm-initiative', 'm-agent', 'active', '2026-01-15 15:00:00.000017+00', '2026-01-15 15:00:00.000017+00');
INSERT INTO public.chat_sessions VALUES ('z-chat', 'phase', 'p', 'z-initiative', 'z-agent', 'active', '2026-01-15 07:00:00.000018+00', '2026-01-15 07:00:00.000018+00');
INSERT INTO public.chat_sessions VALUES ('k-chat', 'phase', 'p', 'k-initiative', 'k-agent', 'active', '2026-01-15 12:00:00.000018+00', '2026-01-15 12:00:00.000018+00');
INSERT INTO public.chat_sessions VALUES ('b-chat', 'phase', 'p', 'b-initiative', 'b-agent', 'active', '2026-01-15 12:00:00.000017+00', '2026-01-15 12:00:00.000017+00');
INSERT INTO public.chat_sessions VALUES ('a-chat', 'phase', 'p', 'a-initiative', 'a-agent', 'active', '2026-01-15 20:00:00.000017+00', '2026-01-15 20:00:00.000017+00');
INSERT INTO public.chat_sessions VALUES ('q-chat', 'phase', 'p', 'q-initiative', 'q-agent', 'active', '2026-01-15 11:00:00.000017+00', '2026-01-15 11:00:00.000017+00');
INSERT INTO public.conversations VALUES ('m-conversation', 'm-agent', 'm-agent', 'm-initiative', 'm-phase', 'm-task', 'It''s "quoted"
	tabbed \ slash', NULL, 'pending', '2026-01-15 15:00:00.000013+00', '2026-01-15 15:00:00.000013+00');
INSERT INTO public.conversations VALUES ('z-conversation', 'z-agent', 'm-agent', 'z-initiative', 'z-phase', 'z-task', 'naïve 日本語 🦊 ‮', NULL, 'pending', '2026-01-15 07:00:00.000014+00', '2026-01-15 07:00:00.000014+00');
INSERT INTO public.conversations VALUES ('k-conversation', 'k-agent', 'z-agent', 'k-initiative', 'k-phase', 'k-task', '', NULL, 'pending', '2026-01-15 12:00:00.000014+00', '2026-01-15 12:00:00.000014+00');
INSERT INTO public.conversations VALUES ('b-conversation', 'b-agent', 'k-agent', 'b-initiative', 'b-phase', 'b-task', 'plain', NULL, 'pending', '2026-01-15 12:00:00.000013+00', '2026-01-15 12:00:00.000013+00');
INSERT INTO public.conversations VALUES ('a-conversation', 'a-agent', 'b-agent', 'a-initiative', 'a-phase', 'a-task', '''; DROP TABLE tasks; --', NULL, 'pending', '2026-01-15 20:00:00.000013+00', '2026-01-15 20:00:00.000013+00');
INSERT INTO public.conversations VALUES ('q-conversation', 'q-agent', 'a-agent', 'q-initiative', 'q-phase', 'q-task', '', NULL, 'pending', '2026-01-15 11:00:00.000013+00', '2026-01-15 11:00:00.000013+00');
INSERT INTO public.cw_store_version VALUES ('0001');
INSERT INTO public.errands VALUES ('m-errand', 'It''s "quoted"
	tabbed \ slash', 'b', 'main', 'm-agent', 'm-project', 'active', '2026-01-15 15:00:00.000019+00', '2026-01-15 15:00:00.000019+00');
INSERT INTO public.errands VALUES ('z-errand', 'naïve 日本語 🦊 ‮', 'b', 'main', 'z-agent', 'z-project', 'active', '2026-01-15 07:00:00.00002+00', '2026-01-15 07:00:00.00002+00');
INSERT INTO public.errands VALUES ('k-errand', '', 'b', 'main', 'k-agent', 'k-project', 'active', '2026-01-15 12:00:00.00002+00', '2026-01-15 12:00:00.00002+00');
INSERT INTO public.errands VALUES ('b-errand', 'plain', 'b', 'main', 'b-agent', 'b-project', 'active', '2026-01-15 12:00:00.000019+00', '2026-01-15 12:00:00.000019+00');
INSERT INTO public.errands VALUES ('a-errand', '''; DROP TABLE tasks; --', 'b', 'main', 'a-agent', 'a-project', 'active', '2026-01-15 20:00:00.000019+00', '2026-01-15 20:00:00.000019+00');
INSERT INTO public.errands VALUES ('q-errand', '', 'b', 'main', 'q-agent', 'q-project', 'active', '2026-01-15 11:00:00.000019+00', '2026-01-15 11:00:00.000019+00');
INSERT INTO public.initiative_projects VALUES ('m-initiative', 'm-project');
INSERT INTO public.initiative_projects VALUES ('z-initiative', 'z-project');
INSERT INTO public.initiative_projects VALUES ('k-initiative', 'k-project');
INSERT INTO public.initiative_projects VALUES ('b-initiative', 'b-project');
INSERT INTO public.initiative_projects VALUES ('a-initiative', 'a-project');
INSERT INTO public.initiative_projects VALUES ('q-initiative', 'q-project');
INSERT INTO public.initiatives VALUES ('m-initiative', 'It''s "quoted"
	tabbed \ slash', 'active', 'It''s "quoted"
	tabbed \ slash', '2026-01-15 15:00:00+00', '2026-01-15 15:00:00+00');
INSERT INTO public.initiatives VALUES ('z-initiative', 'naïve 日本語 🦊 ‮', 'active', 'naïve 日本語 🦊 ‮', '2026-01-15 07:00:00+00', '2026-01-15 07:00:00+00');
INSERT INTO public.initiatives VALUES ('k-initiative', '-', 'active', '', '2026-01-15 12:00:00+00', '2026-01-15 12:00:00+00');
INSERT INTO public.initiatives VALUES ('b-initiative', 'plain', 'active', 'plain', '2026-01-15 12:00:00+00', '2026-01-15 12:00:00+00');
INSERT INTO public.initiatives VALUES ('a-initiative', '''; DROP TABLE tasks; --', 'active', '''; DROP TABLE tasks; --', '2026-01-15 20:00:00+00', '2026-01-15 20:00:00+00');
INSERT INTO public.initiatives VALUES ('q-initiative', '', 'active', '', '2026-01-15 11:00:00+00', '2026-01-15 11:00:00+00');
INSERT INTO public.messages VALUES ('m-message', 'agent', 'm-agent', 'user', NULL, 'info', 'It''s "quoted"
	tabbed \ slash', false, 'pending', NULL, '2026-01-15 15:00:00.00001+00', '2026-01-15 15:00:00.00001+00');
INSERT INTO public.messages VALUES ('z-message', 'agent', 'z-agent', 'user', NULL, 'info', 'naïve 日本語 🦊 ‮', true, 'pending', 'm-message', '2026-01-15 07:00:00.000011+00', '2026-01-15 07:00:00.000011+00');
INSERT INTO public.messages VALUES ('k-message', 'agent', 'k-agent', 'user', NULL, 'info', '', false, 'pending', 'z-message', '2026-01-15 12:00:00.000011+00', '2026-01-15 12:00:00.000011+00');
INSERT INTO public.messages VALUES ('b-message', 'agent', 'b-agent', 'user', NULL, 'info', 'plain', true, 'pending', 'k-message', '2026-01-15 12:00:00.00001+00', '2026-01-15 12:00:00.00001+00');
INSERT INTO public.messages VALUES ('a-message', 'agent', 'a-agent', 'user', NULL, 'info', '''; DROP TABLE tasks; --', false, 'pending', 'b-message', '2026-01-15 20:00:00.00001+00', '2026-01-15 20:00:00.00001+00');
INSERT INTO public.messages VALUES ('q-message', 'agent', 'q-agent', 'user', NULL, 'info', '', true, 'pending', 'a-message', '2026-01-15 11:00:00.00001+00', '2026-01-15 11:00:00.00001+00');
INSERT INTO public.pages VALUES ('m-root', 'm-initiative', NULL, 'It''s "quoted"
	tabbed \ slash', '{"a": [null, true, 1.5], "b": 1}', 0, '2026-01-15 15:00:00.000002+00', '2026-01-15 15:00:00.000002+00');
INSERT INTO public.pages VALUES ('m-page', 'm-initiative', 'm-root', 't', NULL, 0, '2026-01-15 15:00:00.000003+00', '2026-01-15 15:00:00.000003+00');
INSERT INTO public.pages VALUES ('z-root', 'z-initiative', NULL, 'naïve 日本語 🦊 ‮', '[[[]]]', 0, '2026-01-15 07:00:00.000002+00', '2026-01-15 07:00:00.000002+00');
INSERT INTO public.pages VALUES ('z-page', 'z-initiative', 'z-root', 't', NULL, 1, '2026-01-15 07:00:00.000003+00', '2026-01-15 07:00:00.000003+00');
INSERT INTO public.pages VALUES ('k-root', 'k-initiative', NULL, '', '"1e16"', 0, '2026-01-15 12:00:00.000002+00', '2026-01-15 12:00:00.000002+00');
INSERT INTO public.pages VALUES ('k-page', 'k-initiative', 'k-root', 't', NULL, 0, '2026-01-15 12:00:00.000003+00', '2026-01-15 12:00:00.000003+00');
INSERT INTO public.pages VALUES ('b-root', 'b-initiative', NULL, 'plain', '0', 0, '2026-01-15 12:00:00.000002+00', '2026-01-15 12:00:00.000002+00');
INSERT INTO public.pages VALUES ('b-page', 'b-initiative', 'b-root', 't', NULL, 1, '2026-01-15 12:00:00.000003+00', '2026-01-15 12:00:00.000003+00');
INSERT INTO public.pages VALUES ('a-root', 'a-initiative', NULL, '''; DROP TABLE tasks; --', 'false', 0, '2026-01-15 20:00:00.000002+00', '2026-01-15 20:00:00.000002+00');
INSERT INTO public.pages VALUES ('a-page', 'a-initiative', 'a-root', 't', NULL, 0, '2026-01-15 20:00:00.000003+00', '2026-01-15 20:00:00.000003+00');
INSERT INTO public.pages VALUES ('q-root', 'q-initiative', NULL, '', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 0, '2026-01-15 11:00:00.000002+00', '2026-01-15 11:00:00.000002+00');
INSERT INTO public.pages VALUES ('q-page', 'q-initiative', 'q-root', 't', NULL, 1, '2026-01-15 11:00:00.000003+00', '2026-01-15 11:00:00.000003+00');
INSERT INTO public.phase_dependencies VALUES ('z-phase', 'm-phase');
INSERT INTO public.phase_dependencies VALUES ('k-phase', 'z-phase');
INSERT INTO public.phase_dependencies VALUES ('b-phase', 'k-phase');
INSERT INTO public.phase_dependencies VALUES ('a-phase', 'b-phase');
INSERT INTO public.phase_dependencies VALUES ('q-phase', 'a-phase');
INSERT INTO public.phases VALUES ('m-phase', 'm-initiative', 'It''s "quoted"
	tabbed \ slash', '{"a": [null, true, 1.5], "b": 1}', 'approved', NULL, '2026-01-15 15:00:00.000001+00', '2026-01-15 15:00:00.000001+00');
INSERT INTO public.phases VALUES ('z-phase', 'z-initiative', 'naïve 日本語 🦊 ‮', '[[[]]]', 'approved', NULL, '2026-01-15 07:00:00.000001+00', '2026-01-15 07:00:00.000001+00');
INSERT INTO public.phases VALUES ('k-phase', 'k-initiative', '', '"1e16"', 'approved', NULL, '2026-01-15 12:00:00.000001+00', '2026-01-15 12:00:00.000001+00');
INSERT INTO public.phases VALUES ('b-phase', 'b-initiative', 'plain', '0', 'approved', NULL, '2026-01-15 12:00:00.000001+00', '2026-01-15 12:00:00.000001+00');
INSERT INTO public.phases VALUES ('a-phase', 'a-initiative', '''; DROP TABLE tasks; --', 'false', 'approved', NULL, '2026-01-15 20:00:00.000001+00', '2026-01-15 20:00:00.000001+00');
INSERT INTO public.phases VALUES ('q-phase', 'q-initiative', '', '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 'approved', NULL, '2026-01-15 11:00:00.000001+00', '2026-01-15 11:00:00.000001+00');
INSERT INTO public.projects VALUES ('m-project', 'm-project', 'https://git.example.org/m', 'main', NULL, '2026-01-15 15:00:00.000009+00', '2026-01-15 15:00:00.000009+00');
INSERT INTO public.projects VALUES ('z-project', 'z-project', 'https://git.example.org/z', 'main', NULL, '2026-01-15 07:00:00.00001+00', '2026-01-15 07:00:00.00001+00');
INSERT INTO public.projects VALUES ('k-project', 'k-project', 'https://git.example.org/k', 'main', NULL, '2026-01-15 12:00:00.00001+00', '2026-01-15 12:00:00.00001+00');
INSERT INTO public.projects VALUES ('b-project', 'b-project', 'https://git.example.org/b', 'main', NULL, '2026-01-15 12:00:00.000009+00', '2026-01-15 12:00:00.000009+00');
INSERT INTO public.projects VALUES ('a-project', 'a-project', 'https://git.example.org/a', 'main', NULL, '2026-01-15 20:00:00.000009+00', '2026-01-15 20:00:00.000009+00');
INSERT INTO public.projects VALUES ('q-project', 'q-project', 'https://git.example.org/q', 'main', NULL, '2026-01-15 11:00:00.000009+00', '2026-01-15 11:00:00.000009+00');
INSERT INTO public.proposals VALUES ('m-proposal', 'm-agent', 'm-initiative', 'task', NULL, 'It''s "quoted"
	tabbed \ slash', NULL, NULL, '{"a": [null, true, 1.5], "b": 1}', 'pending', 0, '2026-01-15 15:00:00.000008+00', '2026-01-15 15:00:00.000008+00');
INSERT INTO public.proposals VALUES ('z-proposal', 'z-agent', 'z-initiative', 'task', NULL, 'naïve 日本語 🦊 ‮', NULL, NULL, '[[[]]]', 'pending', 0, '2026-01-15 07:00:00.000009+00', '2026-01-15 07:00:00.000009+00');
INSERT INTO public.proposals VALUES ('k-proposal', 'k-agent', 'k-initiative', 'task', NULL, '', NULL, NULL, '"1e16"', 'pending', 0, '2026-01-15 12:00:00.000009+00', '2026-01-15 12:00:00.000009+00');
INSERT INTO public.proposals VALUES ('b-proposal', 'b-agent', 'b-initiative', 'task', NULL, 'plain', NULL, NULL, '0', 'pending', 0, '2026-01-15 12:00:00.000008+00', '2026-01-15 12:00:00.000008+00');
INSERT INTO public.proposals VALUES ('a-proposal', 'a-agent', 'a-initiative', 'task', NULL, '''; DROP TABLE tasks; --', NULL, NULL, 'false', 'pending', 0, '2026-01-15 20:00:00.000008+00', '2026-01-15 20:00:00.000008+00');
INSERT INTO public.proposals VALUES ('q-proposal', 'q-agent', 'q-initiative', 'task', NULL, '', NULL, NULL, '{"big": 10000000000000000.0, "edge": 9223372036854775807}', 'pending', 0, '2026-01-15 11:00:00.000008+00', '2026-01-15 11:00:00.000008+00');
INSERT INTO public.review_comments VALUES ('m-comment', 'm-phase', 'It''s "quoted"
	tabbed \ slash', 0, 'added', 'It''s "quoted"
	tabbed \ slash', 'you', false, '2026-01-15 15:00:00.00002+00', '2026-01-15 15:00:00.00002+00');
INSERT INTO public.review_comments VALUES ('z-comment', 'm-phase', 'naïve 日本語 🦊 ‮', 1, 'added', 'naïve 日本語 🦊 ‮', 'you', true, '2026-01-15 07:00:00.000021+00', '2026-01-15 07:00:00.000021+00');
INSERT INTO public.review_comments VALUES ('k-comment', 'm-phase', '', 2, 'added', '', 'you', false, '2026-01-15 12:00:00.000021+00', '2026-01-15 12:00:00.000021+00');
INSERT INTO public.review_comments VALUES ('b-comment', 'm-phase', 'plain', 3, 'added', 'plain', 'you', true, '2026-01-15 12:00:00.00002+00', '2026-01-15 12:00:00.00002+00');
INSERT INTO public.review_comments VALUES ('a-comment', 'm-phase', '''; DROP TABLE tasks; --', 4, 'added', '''; DROP TABLE tasks; --', 'you', false, '2026-01-15 20:00:00.00002+00', '2026-01-15 20:00:00.00002+00');
INSERT INTO public.review_comments VALUES ('q-comment', 'm-phase', '', 5, 'added', '', 'you', true, '2026-01-15 11:00:00.00002+00', '2026-01-15 11:00:00.00002+00');
INSERT INTO public.task_dependencies VALUES ('z-task', 'm-task');
INSERT INTO public.task_dependencies VALUES ('k-task', 'z-task');
INSERT INTO public.task_dependencies VALUES ('b-task', 'k-task');
INSERT INTO public.task_dependencies VALUES ('a-task', 'b-task');
INSERT INTO public.task_dependencies VALUES ('q-task', 'a-task');
INSERT INTO public.tasks VALUES ('m-task', 'm-phase', 'm-initiative', NULL, 'It''s "quoted"
	tabbed \ slash', 'It''s "quoted"
	tabbed \ slash', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-01-15 15:00:00.000004+00', '2026-01-15 15:00:00.000004+00');
INSERT INTO public.tasks VALUES ('m-subtask', 'm-phase', 'm-initiative', 'm-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 15:00:00.000005+00', '2026-01-15 15:00:00.000005+00');
INSERT INTO public.tasks VALUES ('z-task', 'z-phase', 'z-initiative', NULL, 'naïve 日本語 🦊 ‮', 'naïve 日本語 🦊 ‮', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 07:00:00.000004+00', '2026-01-15 07:00:00.000004+00');
INSERT INTO public.tasks VALUES ('z-subtask', 'z-phase', 'z-initiative', 'z-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 07:00:00.000005+00', '2026-01-15 07:00:00.000005+00');
INSERT INTO public.tasks VALUES ('k-task', 'k-phase', 'k-initiative', NULL, '', '', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-01-15 12:00:00.000004+00', '2026-01-15 12:00:00.000004+00');
INSERT INTO public.tasks VALUES ('k-subtask', 'k-phase', 'k-initiative', 'k-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 12:00:00.000005+00', '2026-01-15 12:00:00.000005+00');
INSERT INTO public.tasks VALUES ('b-task', 'b-phase', 'b-initiative', NULL, 'plain', 'plain', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 12:00:00.000004+00', '2026-01-15 12:00:00.000004+00');
INSERT INTO public.tasks VALUES ('b-subtask', 'b-phase', 'b-initiative', 'b-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 12:00:00.000005+00', '2026-01-15 12:00:00.000005+00');
INSERT INTO public.tasks VALUES ('a-task', 'a-phase', 'a-initiative', NULL, '''; DROP TABLE tasks; --', '''; DROP TABLE tasks; --', 'auto', 'execute', 'medium', 'pending', 0, NULL, 0, '2026-01-15 20:00:00.000004+00', '2026-01-15 20:00:00.000004+00');
INSERT INTO public.tasks VALUES ('a-subtask', 'a-phase', 'a-initiative', 'a-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 20:00:00.000005+00', '2026-01-15 20:00:00.000005+00');
INSERT INTO public.tasks VALUES ('q-task', 'q-phase', 'q-initiative', NULL, '', '', 'auto', 'execute', 'medium', 'pending', 1, NULL, 0, '2026-01-15 11:00:00.000004+00', '2026-01-15 11:00:00.000004+00');
INSERT INTO public.tasks VALUES ('q-subtask', 'q-phase', 'q-initiative', 'q-task', 's', NULL, 'auto', 'execute', 'medium', 'completed', 0, NULL, 0, '2026-01-15 11:00:00.000005+00', '2026-01-15 11:00:00.000005+00');
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
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT pk_task_dependencies PRIMARY KEY (task_id, depends_on_task_id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT pk_tasks PRIMARY KEY (id);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_name UNIQUE (name);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_name UNIQUE (name);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_url UNIQUE (url);
CREATE INDEX ix_accounts_created_at_id ON public.accounts USING btree (created_at, id);
CREATE INDEX ix_accounts_email ON public.accounts USING btree (email);
CREATE INDEX ix_accounts_provider_last_used_at_sort_order_id ON public.accounts USING btree (provider, last_used_at, sort_order, id);
CREATE INDEX ix_agent_log_chunks_agent_id_created_at_id ON public.agent_log_chunks USING btree (agent_id, created_at, id);
CREATE INDEX ix_agent_log_chunks_agent_id_session_number_created_at_id ON public.agent_log_chunks USING btree (agent_id, session_number, created_at, id);
CREATE INDEX ix_agents_account_id ON public.agents USING btree (account_id);
CREATE INDEX ix_agents_created_at_id ON public.agents USING btree (created_at, id);
CREATE INDEX ix_agents_initiative_id ON public.agents USING btree (initiative_id);
CREATE INDEX ix_agents_session_id_created_at_id ON public.agents USING btree (session_id, created_at, id);
CREATE INDEX ix_agents_status_created_at_id ON public.agents USING btree (status, created_at, id);
CREATE INDEX ix_agents_task_id_created_at_id ON public.agents USING btree (task_id, created_at, id);
CREATE INDEX ix_change_set_entries_change_set_id_sort_order_created_at_id ON public.change_set_entries USING btree (change_set_id, sort_order, created_at, id);
CREATE INDEX ix_change_sets_agent_id_created_at_id ON public.change_sets USING btree (agent_id, created_at, id);
CREATE INDEX ix_change_sets_initiative_id_created_at_id ON public.change_sets USING btree (initiative_id, created_at, id);
CREATE INDEX ix_chat_messages_change_set_id ON public.chat_messages USING btree (change_set_id);
CREATE INDEX ix_chat_messages_chat_session_id_created_at_id ON public.chat_messages USING btree (chat_session_id, created_at, id);
CREATE INDEX ix_chat_sessions_agent_id_status_created_at_id ON public.chat_sessions USING btree (agent_id, status, created_at, id);
CREATE INDEX ix_chat_sessions_initiative_id ON public.chat_sessions USING btree (initiative_id);
CREATE INDEX ix_chat_sessions_target_type_target_id_status_created_at_id ON public.chat_sessions USING btree (target_type, target_id, status, created_at, id);
CREATE INDEX ix_conversations_from_agent_id_created_at_id ON public.conversations USING btree (from_agent_id, created_at, id);
CREATE INDEX ix_conversations_initiative_id ON public.conversations USING btree (initiative_id);
CREATE INDEX ix_conversations_phase_id ON public.conversations USING btree (phase_id);
CREATE INDEX ix_conversations_task_id ON public.conversations USING btree (task_id);
CREATE INDEX ix_conversations_to_agent_id_status_created_at_id ON public.conversations USING btree (to_agent_id, status, created_at, id);
CREATE INDEX ix_errands_agent_id ON public.errands USING btree (agent_id);
CREATE INDEX ix_errands_created_at_id ON public.errands USING btree (created_at, id);
CREATE INDEX ix_errands_project_id_created_at_id ON public.errands USING btree (project_id, created_at, id);
CREATE INDEX ix_errands_status_created_at_id ON public.errands USING btree (status, created_at, id);
CREATE INDEX ix_initiative_projects_project_id ON public.initiative_projects USING btree (project_id);
CREATE INDEX ix_initiatives_created_at_id ON public.initiatives USING btree (created_at, id);
CREATE INDEX ix_initiatives_status_created_at_id ON public.initiatives USING btree (status, created_at, id);
CREATE INDEX ix_messages_parent_message_id_created_at_id ON public.messages USING btree (parent_message_id, created_at, id);
CREATE INDEX ix_messages_recipient_id_recipient_type_created_at_id ON public.messages USING btree (recipient_id, recipient_type, created_at, id);
CREATE INDEX ix_messages_recipient_type_recipient_id_status ON public.messages USING btree (recipient_type, recipient_id, status);
CREATE INDEX ix_messages_recipient_type_status_created_at_id ON public.messages USING btree (recipient_type, status, created_at, id);
CREATE INDEX ix_messages_requiring_response ON public.messages USING btree (created_at, id) WHERE (requires_response AND (status <> 'responded'::text));
CREATE INDEX ix_messages_sender_id_sender_type_created_at_id ON public.messages USING btree (sender_id, sender_type, created_at, id);
CREATE INDEX ix_messages_sender_type_created_at_id ON public.messages USING btree (sender_type, created_at, id);
CREATE INDEX ix_pages_initiative_id_created_at_id ON public.pages USING btree (initiative_id, created_at, id);
CREATE INDEX ix_pages_parent_page_id_sort_order_created_at_id ON public.pages USING btree (parent_page_id, sort_order, created_at, id);
CREATE INDEX ix_phase_dependencies_depends_on_phase_id ON public.phase_dependencies USING btree (depends_on_phase_id);
CREATE INDEX ix_phases_initiative_id_created_at_id ON public.phases USING btree (initiative_id, created_at, id);
CREATE INDEX ix_phases_status_created_at_id ON public.phases USING btree (status, created_at, id);
CREATE INDEX ix_projects_created_at_id ON public.projects USING btree (created_at, id);
CREATE INDEX ix_proposals_agent_id_created_at_id ON public.proposals USING btree (agent_id, created_at, id);
CREATE INDEX ix_proposals_agent_id_status_created_at_id ON public.proposals USING btree (agent_id, status, created_at, id);
CREATE INDEX ix_proposals_initiative_id_created_at_id ON public.proposals USING btree (initiative_id, created_at, id);
CREATE INDEX ix_review_comments_phase_id_created_at_id ON public.review_comments USING btree (phase_id, created_at, id);
CREATE INDEX ix_task_dependencies_depends_on_task_id ON public.task_dependencies USING btree (depends_on_task_id);
CREATE INDEX ix_tasks_initiative_id_order_created_at_id ON public.tasks USING btree (initiative_id, "order", created_at, id);
CREATE INDEX ix_tasks_parent_task_id_order_created_at_id ON public.tasks USING btree (parent_task_id, "order", created_at, id);
CREATE INDEX ix_tasks_phase_id_order_created_at_id ON public.tasks USING btree (phase_id, "order", created_at, id);
CREATE INDEX ix_tasks_status_created_at_id ON public.tasks USING btree (status, created_at, id);
CREATE UNIQUE INDEX uq_pages_root ON public.pages USING btree (initiative_id) WHERE (parent_page_id IS NULL);
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
    ADD CONSTRAINT fk_tasks_initiative_id FOREIGN KEY (initiative_id) REFERENCES public.initiatives(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_parent_task_id FOREIGN KEY (parent_task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT fk_tasks_phase_id FOREIGN KEY (phase_id) REFERENCES public.phases(id) ON DELETE CASCADE;
