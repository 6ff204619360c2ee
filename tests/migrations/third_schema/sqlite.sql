BEGIN TRANSACTION;
CREATE TABLE "accounts" (
	id TEXT NOT NULL, 
	email TEXT NOT NULL, 
	provider TEXT DEFAULT 'claude' NOT NULL, 
	config_json TEXT, 
	credentials TEXT, 
	is_exhausted BOOLEAN DEFAULT 0 NOT NULL, 
	exhausted_until BIGINT, 
	last_used_at BIGINT, 
	sort_order INTEGER DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, max_agents INTEGER, 
	CONSTRAINT pk_accounts PRIMARY KEY (seq), 
	CONSTRAINT uq_accounts_id UNIQUE (id)
);
INSERT INTO "accounts" VALUES('z-account','ada@example.org','claude','cw-store:fernet:gAAAAABrCnUlIb3lggK16ddNhm2LS3nRaD0_xNEf9bKcHU0ty3XfPTzOhVxmI5d0mbjXN47xsDKRqdY-Z_VV2uCp7VNeHpUPoL8_mRg2IwnTwJHfMtxD3Uc=','cw-store:fernet:gAAAAABrCnUlJ69SCAJzXpP4iXTMeXHC_n6Ydr77x4ehG0og2YP5PfNi6RtrYINodVmQYUqFujC9cBpGqryaJACHi8FNjztvXA==',1,1768464000000000,NULL,1,1768460400000006,1768460400000007,1,NULL);
INSERT INTO "accounts" VALUES('q-account','ada@example.org','claude','cw-store:fernet:gAAAAABrCnUlx2-d2XpstpaXEgsHam7Q849OkHfCSgcT5E-3XxrrGbNjz8R5ngyobkGXRmbN5pd7y_HJcZKvE6WDT6ySP-TECg==','cw-store:fernet:gAAAAABrCnUlmUI_Kh7LKmxJQbizk5fL_Fi669-yun21kwQb7uMClD9pFM9Mn0U1Bb4sLL2SxFvBmQ9qYxw2U0_IPJLgAk1WvA==',0,NULL,NULL,5,1768474800000006,1768474800000006,2,NULL);
INSERT INTO "accounts" VALUES('b-account','ada@example.org','claude','cw-store:fernet:gAAAAABrCnUlAzGhv7cKy1gqoW9WS7hriZ7b-ri1CrAw4pwrWOiYB5sPyKlB5fzw8ounP0AsmtLLH4SMVgx37kuHG_SGV5XVBg==','cw-store:fernet:gAAAAABrCnUlt-j1MiKc0ZKk4bZZHTaklTdDgYQeKo0UuoaLTNvFi33LwTH-C-yVsp4fgmGb-bGqWz7CtxbbgAISL18Va__gag==',0,NULL,NULL,3,1768478400000006,1768478400000006,3,NULL);
INSERT INTO "accounts" VALUES('k-account','ada@example.org','claude','cw-store:plain:cw-store:looks like ours','token 2',1,NULL,NULL,2,1768478400000006,1768478400000007,4,NULL);
INSERT INTO "accounts" VALUES('m-account','ada@example.org','claude','It''s "quoted"
	tabbed \ slash','token 0',0,NULL,NULL,0,1768489200000006,1768489200000006,5,NULL);
INSERT INTO "accounts" VALUES('a-account','ada@example.org','claude','''; DROP TABLE tasks; --','token 4',0,NULL,NULL,4,1768507200000006,1768507200000006,6,NULL);
INSERT INTO "accounts" VALUES('bound-account','ada@example.org','claude','cw-store:bound:gAAAAABrCtM-ox4LAnStaNRtqxEVRAsPY8SpUot0bEdXoGH4TnjqAjg2OaSrbD8EusxI87zzecGecxwroX8XN14NUCgMtyeDMBrA4yjs1e1jaZGXyyM1_WvV0sLCrWGdMftcfCaYoCv-','cw-store:bound:gAAAAABrCtM-6S8j5PDj4byzxqLYid0FhT1SMloyM3Osuga9bG8vpuHKcAIdBhNq5_5k9N0jEUlSjQoBJQiKSAHMsPeBPHgf7Lf0p86gxGSZeiOEDbY5bdd-t5VchcJV_7D64RunK9NN',0,NULL,1795884841829048,0,1795871550577293,1795884841829048,7,NULL);
INSERT INTO "accounts" VALUES('limited-account','grace@example.org','claude',NULL,'cw-store:bound:gAAAAABrCwcpP3vxdbvhVfzjq6JiooOH65nBppWGcjo7u6HNy3FGg_zZPtyrwDf8o7rK2B1sT8xyKvSEye8ne5XU6KWuPYTJqbrEEwZNVq8ysorNLd9PDmuwzB7Jo5BC4nJwBBfQ46WAJe2A9gGaT58kRWGYyU0LCg==',0,NULL,NULL,0,1795884841685418,1795884841685418,8,2);
CREATE TABLE "agent_log_chunks" (
	id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	agent_name TEXT NOT NULL, 
	session_number INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_agent_log_chunks PRIMARY KEY (seq), 
	CONSTRAINT uq_agent_log_chunks_id UNIQUE (id)
);
INSERT INTO "agent_log_chunks" VALUES('z-chunk','agent','otter',2,'naïve 日本語 🦊 ‮',1768460400000012,1);
INSERT INTO "agent_log_chunks" VALUES('z-chunk2','agent','otter',1,'{}
',1768460400000013,2);
INSERT INTO "agent_log_chunks" VALUES('q-chunk','agent','otter',2,'',1768474800000011,3);
INSERT INTO "agent_log_chunks" VALUES('q-chunk2','agent','otter',1,'{}
',1768474800000012,4);
INSERT INTO "agent_log_chunks" VALUES('b-chunk','agent','otter',2,'plain',1768478400000011,5);
INSERT INTO "agent_log_chunks" VALUES('b-chunk2','agent','otter',1,'{}
',1768478400000012,6);
INSERT INTO "agent_log_chunks" VALUES('k-chunk','agent','otter',1,'',1768478400000012,7);
INSERT INTO "agent_log_chunks" VALUES('k-chunk2','agent','otter',1,'{}
',1768478400000013,8);
INSERT INTO "agent_log_chunks" VALUES('m-chunk','agent','otter',1,'It''s "quoted"
	tabbed \ slash',1768489200000011,9);
INSERT INTO "agent_log_chunks" VALUES('m-chunk2','agent','otter',1,'{}
',1768489200000012,10);
INSERT INTO "agent_log_chunks" VALUES('a-chunk','agent','otter',1,'''; DROP TABLE tasks; --',1768507200000011,11);
INSERT INTO "agent_log_chunks" VALUES('a-chunk2','agent','otter',1,'{}
',1768507200000012,12);
CREATE TABLE "agents" (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	task_id TEXT, 
	initiative_id TEXT, 
	session_id TEXT, 
	worktree_id TEXT NOT NULL, 
	provider TEXT DEFAULT 'claude' NOT NULL, 
	account_id TEXT, 
	status TEXT DEFAULT 'idle' NOT NULL, 
	mode TEXT DEFAULT 'execute' NOT NULL, 
	pid INTEGER, 
	exit_code INTEGER, 
	output_file_path TEXT, 
	result TEXT, 
	pending_questions TEXT, 
	user_dismissed_at BIGINT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, holder TEXT, lease_expires_at BIGINT, epoch INTEGER, 
	CONSTRAINT pk_agents PRIMARY KEY (seq), 
	CONSTRAINT uq_agents_id UNIQUE (id), 
	CONSTRAINT ck_agents_mode CHECK (mode IN ('execute', 'discuss', 'plan', 'detail', 'refine')), 
	CONSTRAINT ck_agents_status CHECK (status IN ('idle', 'running', 'waiting_for_input', 'stopped', 'crashed')), 
	CONSTRAINT fk_agents_account_id FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE SET NULL, 
	CONSTRAINT fk_agents_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE SET NULL, 
	CONSTRAINT fk_agents_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE SET NULL, 
	CONSTRAINT uq_agents_name UNIQUE (name)
);
INSERT INTO "agents" VALUES('z-agent','z-otter','m-task','z-initiative','session','w','claude','z-account','running','execute',1,-1,NULL,'[[[]]]','[[[]]]',NULL,1768460400000008,1768460400000008,1,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('q-agent','q-otter','a-task','q-initiative','session','w','claude','q-account','running','execute',5,-5,NULL,'{"big":1e+16,"edge":9223372036854775807}','{"big":1e+16,"edge":9223372036854775807}',NULL,1768474800000007,1768474800000007,2,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('b-agent','b-otter','k-task','b-initiative','session','w','claude','b-account','running','execute',3,-3,NULL,'0','0',NULL,1768478400000007,1768478400000007,3,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('k-agent','k-otter','z-task','k-initiative','session','w','claude','k-account','running','execute',2,-2,NULL,'"1e16"','"1e16"',NULL,1768478400000008,1768478400000008,4,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('m-agent','m-otter','m-task','m-initiative','session','w','claude','m-account','crashed','execute',0,0,NULL,'{"b":1,"a":[null,true,1.5]}','{"b":1,"a":[null,true,1.5]}',NULL,1768489200000007,1768489200000007,5,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('a-agent','a-otter','b-task','a-initiative','session','w','claude','a-account','running','execute',4,-4,NULL,'false','false',NULL,1768507200000007,1768507200000007,6,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('running-agent','brave-otter-two','three-task','initiative',NULL,'w','claude',NULL,'running','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795871550594534,1795871550594534,7,NULL,NULL,NULL);
INSERT INTO "agents" VALUES('NnBR1INmWTxG0Ah0FxLrA','swift-lynx','ended-task','limited-initiative',NULL,'w-ended-task','claude',NULL,'stopped','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841765404,1795884841796832,8,'host/1/one',NULL,1);
INSERT INTO "agents" VALUES('PlvPohlSh8_UtIRZK-InG','patient-ferret','held-task','limited-initiative',NULL,'w-held-task','claude','bound-account','running','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841830382,1795884841830382,9,'host/1/one',1795888441830382,1);
INSERT INTO "agents" VALUES('KRZmaLqDGguOic19bYRkI','earnest-newt','late-task','limited-initiative',NULL,'w-late-task','claude',NULL,'stopped','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841833269,1795884841835844,10,'host/1/one',NULL,1);
INSERT INTO "agents" VALUES('0YsfuM55UWXXTWZ8jDpO7','bold-turtle','given-back-task','limited-initiative',NULL,'w-given-back-task','claude',NULL,'crashed','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841846900,1795884841855212,11,'host/1/one',NULL,1);
INSERT INTO "agents" VALUES('08Yj5QFvDr10beHt3rnZL','blithe-rabbit','loose-task',NULL,NULL,'w-loose-task','claude',NULL,'running','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841861829,1795884841861829,12,'host/1/one',1795888441861829,1);
INSERT INTO "agents" VALUES('n-8MsV2o4xL8P4FewrphT','noble-lemur','m-task','m-initiative',NULL,'w-next','claude',NULL,'running','execute',NULL,NULL,NULL,NULL,NULL,NULL,1795884841883152,1795884841883152,13,'host/1/two',1795884961883152,1);
CREATE TABLE "change_set_entries" (
	id TEXT NOT NULL, 
	change_set_id TEXT NOT NULL, 
	entity_type TEXT NOT NULL, 
	entity_id TEXT NOT NULL, 
	action TEXT NOT NULL, 
	previous_state TEXT, 
	new_state TEXT, 
	sort_order INTEGER DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_change_set_entries PRIMARY KEY (seq), 
	CONSTRAINT uq_change_set_entries_id UNIQUE (id), 
	CONSTRAINT ck_change_set_entries_action CHECK (action IN ('create', 'update', 'delete')), 
	CONSTRAINT ck_change_set_entries_entity_type CHECK (entity_type IN ('page', 'phase', 'task')), 
	CONSTRAINT fk_change_set_entries_change_set_id FOREIGN KEY(change_set_id) REFERENCES change_sets (id) ON DELETE CASCADE
);
INSERT INTO "change_set_entries" VALUES('z-entry0','z-change-set','page','p','update','[[[]]]',NULL,1,1768460400000016,1);
INSERT INTO "change_set_entries" VALUES('z-entry1','z-change-set','page','p','update','[[[]]]',NULL,0,1768460400000017,2);
INSERT INTO "change_set_entries" VALUES('q-entry0','q-change-set','page','p','update','{"big":1e+16,"edge":9223372036854775807}',NULL,1,1768474800000015,3);
INSERT INTO "change_set_entries" VALUES('q-entry1','q-change-set','page','p','update','{"big":1e+16,"edge":9223372036854775807}',NULL,0,1768474800000016,4);
INSERT INTO "change_set_entries" VALUES('b-entry0','b-change-set','page','p','update','0',NULL,1,1768478400000015,5);
INSERT INTO "change_set_entries" VALUES('b-entry1','b-change-set','page','p','update','0',NULL,0,1768478400000016,6);
INSERT INTO "change_set_entries" VALUES('k-entry0','k-change-set','page','p','update','"1e16"',NULL,1,1768478400000016,7);
INSERT INTO "change_set_entries" VALUES('k-entry1','k-change-set','page','p','update','"1e16"',NULL,0,1768478400000017,8);
INSERT INTO "change_set_entries" VALUES('m-entry0','m-change-set','page','p','update','{"b":1,"a":[null,true,1.5]}',NULL,1,1768489200000015,9);
INSERT INTO "change_set_entries" VALUES('m-entry1','m-change-set','page','p','update','{"b":1,"a":[null,true,1.5]}',NULL,0,1768489200000016,10);
INSERT INTO "change_set_entries" VALUES('a-entry0','a-change-set','page','p','update','false',NULL,1,1768507200000015,11);
INSERT INTO "change_set_entries" VALUES('a-entry1','a-change-set','page','p','update','false',NULL,0,1768507200000016,12);
INSERT INTO "change_set_entries" VALUES('wrFoMWNnkWvdGZTfGe-JR','VCqnNlTfHpZc3w3IyBLMM','task','check-task','update','{"id":"check-task","phase_id":"check-phase","initiative_id":"limited-initiative","parent_task_id":null,"name":"check","description":null,"type":"auto","category":"execute","priority":"medium","status":"pending","order":0,"summary":null,"retry_count":0,"max_retries":1,"not_before":null,"claimed_by_agent_id":null,"epoch":0,"open_dependencies":0,"created_at":"2026-11-28T16:54:01.726928+00:00","updated_at":"2026-11-28T16:54:01.726928+00:00","seq":23,"depends_on_ids":[]}','{"id":"check-task","phase_id":"check-phase","initiative_id":"limited-initiative","parent_task_id":null,"name":"check","description":"more to check","type":"auto","category":"execute","priority":"medium","status":"pending","order":0,"summary":null,"retry_count":0,"max_retries":1,"not_before":null,"claimed_by_agent_id":null,"epoch":0,"open_dependencies":0,"created_at":"2026-11-28T16:54:01.726928+00:00","updated_at":"2026-11-28T16:54:01.910464+00:00","seq":23,"depends_on_ids":[]}',0,1795884841916693,13);
INSERT INTO "change_set_entries" VALUES('PLsm6M5T3hs1ULV2TL4Yv','VCqnNlTfHpZc3w3IyBLMM','phase','check-phase','update','{"id":"check-phase","initiative_id":"limited-initiative","name":"check","content":null,"status":"pending","merge_base":null,"open_dependencies":1,"created_at":"2026-11-28T16:54:01.704416+00:00","updated_at":"2026-11-28T16:54:01.704416+00:00","seq":12,"depends_on_ids":["build-phase"]}','{"id":"check-phase","initiative_id":"limited-initiative","name":"check all","content":null,"status":"pending","merge_base":null,"open_dependencies":1,"created_at":"2026-11-28T16:54:01.704416+00:00","updated_at":"2026-11-28T16:54:01.932756+00:00","seq":12,"depends_on_ids":["build-phase"]}',1,1795884841933655,14);
CREATE TABLE "change_sets" (
	id TEXT NOT NULL, 
	initiative_id TEXT NOT NULL, 
	agent_id TEXT, 
	agent_name TEXT NOT NULL, 
	mode TEXT NOT NULL, 
	summary TEXT, 
	status TEXT DEFAULT 'applied' NOT NULL, 
	reverted_at BIGINT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_change_sets PRIMARY KEY (seq), 
	CONSTRAINT uq_change_sets_id UNIQUE (id), 
	CONSTRAINT ck_change_sets_mode CHECK (mode IN ('plan', 'detail', 'refine')), 
	CONSTRAINT ck_change_sets_status CHECK (status IN ('applied', 'reverted')), 
	CONSTRAINT fk_change_sets_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE SET NULL, 
	CONSTRAINT fk_change_sets_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE
);
INSERT INTO "change_sets" VALUES('z-change-set','z-initiative','z-agent','otter','plan',NULL,'applied',NULL,1768460400000015,1768460400000015,1);
INSERT INTO "change_sets" VALUES('q-change-set','q-initiative','q-agent','otter','plan',NULL,'applied',NULL,1768474800000014,1768474800000014,2);
INSERT INTO "change_sets" VALUES('b-change-set','b-initiative','b-agent','otter','plan',NULL,'applied',NULL,1768478400000014,1768478400000014,3);
INSERT INTO "change_sets" VALUES('k-change-set','k-initiative','k-agent','otter','plan',NULL,'applied',NULL,1768478400000015,1768478400000015,4);
INSERT INTO "change_sets" VALUES('m-change-set','m-initiative','m-agent','otter','plan',NULL,'applied',NULL,1768489200000014,1768489200000014,5);
INSERT INTO "change_sets" VALUES('a-change-set','a-initiative','a-agent','otter','plan',NULL,'applied',NULL,1768507200000014,1768507200000014,6);
INSERT INTO "change_sets" VALUES('VCqnNlTfHpZc3w3IyBLMM','limited-initiative','PlvPohlSh8_UtIRZK-InG','patient-ferret','plan',NULL,'applied',NULL,1795884841896303,1795884841896303,7);
CREATE TABLE "chat_messages" (
	id TEXT NOT NULL, 
	chat_session_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	content TEXT NOT NULL, 
	change_set_id TEXT, 
	created_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_chat_messages PRIMARY KEY (seq), 
	CONSTRAINT uq_chat_messages_id UNIQUE (id), 
	CONSTRAINT ck_chat_messages_role CHECK (role IN ('user', 'assistant', 'system')), 
	CONSTRAINT fk_chat_messages_change_set_id FOREIGN KEY(change_set_id) REFERENCES change_sets (id) ON DELETE SET NULL, 
	CONSTRAINT fk_chat_messages_chat_session_id FOREIGN KEY(chat_session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE
);
INSERT INTO "chat_messages" VALUES('z-chat-message','m-chat','user','naïve 日本語 🦊 ‮','z-change-set',1768460400000019,1);
INSERT INTO "chat_messages" VALUES('q-chat-message','m-chat','user','','q-change-set',1768474800000018,2);
INSERT INTO "chat_messages" VALUES('b-chat-message','m-chat','user','plain','b-change-set',1768478400000018,3);
INSERT INTO "chat_messages" VALUES('k-chat-message','m-chat','user','','k-change-set',1768478400000019,4);
INSERT INTO "chat_messages" VALUES('m-chat-message','m-chat','user','It''s "quoted"
	tabbed \ slash','m-change-set',1768489200000018,5);
INSERT INTO "chat_messages" VALUES('a-chat-message','m-chat','user','''; DROP TABLE tasks; --','a-change-set',1768507200000018,6);
CREATE TABLE "chat_sessions" (
	id TEXT NOT NULL, 
	target_type TEXT NOT NULL, 
	target_id TEXT NOT NULL, 
	initiative_id TEXT NOT NULL, 
	agent_id TEXT, 
	status TEXT DEFAULT 'active' NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_chat_sessions PRIMARY KEY (seq), 
	CONSTRAINT uq_chat_sessions_id UNIQUE (id), 
	CONSTRAINT ck_chat_sessions_status CHECK (status IN ('active', 'closed')), 
	CONSTRAINT ck_chat_sessions_target_type CHECK (target_type IN ('phase', 'task')), 
	CONSTRAINT fk_chat_sessions_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE SET NULL, 
	CONSTRAINT fk_chat_sessions_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE
);
INSERT INTO "chat_sessions" VALUES('z-chat','phase','p','z-initiative','z-agent','active',1768460400000018,1768460400000018,1);
INSERT INTO "chat_sessions" VALUES('q-chat','phase','p','q-initiative','q-agent','active',1768474800000017,1768474800000017,2);
INSERT INTO "chat_sessions" VALUES('b-chat','phase','p','b-initiative','b-agent','active',1768478400000017,1768478400000017,3);
INSERT INTO "chat_sessions" VALUES('k-chat','phase','p','k-initiative','k-agent','active',1768478400000018,1768478400000018,4);
INSERT INTO "chat_sessions" VALUES('m-chat','phase','p','m-initiative','m-agent','active',1768489200000017,1768489200000017,5);
INSERT INTO "chat_sessions" VALUES('a-chat','phase','p','a-initiative','a-agent','active',1768507200000017,1768507200000017,6);
CREATE TABLE "conversations" (
	id TEXT NOT NULL, 
	from_agent_id TEXT NOT NULL, 
	to_agent_id TEXT NOT NULL, 
	initiative_id TEXT, 
	phase_id TEXT, 
	task_id TEXT, 
	question TEXT NOT NULL, 
	answer TEXT, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_conversations PRIMARY KEY (seq), 
	CONSTRAINT uq_conversations_id UNIQUE (id), 
	CONSTRAINT ck_conversations_status CHECK (status IN ('pending', 'answered')), 
	CONSTRAINT fk_conversations_from_agent_id FOREIGN KEY(from_agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT fk_conversations_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE SET NULL, 
	CONSTRAINT fk_conversations_phase_id FOREIGN KEY(phase_id) REFERENCES phases (id) ON DELETE SET NULL, 
	CONSTRAINT fk_conversations_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE SET NULL, 
	CONSTRAINT fk_conversations_to_agent_id FOREIGN KEY(to_agent_id) REFERENCES agents (id) ON DELETE CASCADE
);
INSERT INTO "conversations" VALUES('z-conversation','z-agent','m-agent','z-initiative','z-phase','z-task','naïve 日本語 🦊 ‮',NULL,'pending',1768460400000014,1768460400000014,1);
INSERT INTO "conversations" VALUES('q-conversation','q-agent','a-agent','q-initiative','q-phase','q-task','',NULL,'pending',1768474800000013,1768474800000013,2);
INSERT INTO "conversations" VALUES('b-conversation','b-agent','k-agent','b-initiative','b-phase','b-task','plain',NULL,'pending',1768478400000013,1768478400000013,3);
INSERT INTO "conversations" VALUES('k-conversation','k-agent','z-agent','k-initiative','k-phase','k-task','',NULL,'pending',1768478400000014,1768478400000014,4);
INSERT INTO "conversations" VALUES('m-conversation','m-agent','m-agent','m-initiative','m-phase','m-task','It''s "quoted"
	tabbed \ slash',NULL,'pending',1768489200000013,1768489200000013,5);
INSERT INTO "conversations" VALUES('a-conversation','a-agent','b-agent','a-initiative','a-phase','a-task','''; DROP TABLE tasks; --',NULL,'pending',1768507200000013,1768507200000013,6);
CREATE TABLE cw_store_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT cw_store_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "cw_store_version" VALUES('0003');
CREATE TABLE "errands" (
	id TEXT NOT NULL, 
	description TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	base_branch TEXT DEFAULT 'main' NOT NULL, 
	agent_id TEXT, 
	project_id TEXT, 
	status TEXT DEFAULT 'active' NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_errands PRIMARY KEY (seq), 
	CONSTRAINT uq_errands_id UNIQUE (id), 
	CONSTRAINT ck_errands_status CHECK (status IN ('active', 'pending_review', 'conflict', 'merged', 'abandoned')), 
	CONSTRAINT fk_errands_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE SET NULL, 
	CONSTRAINT fk_errands_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
INSERT INTO "errands" VALUES('z-errand','naïve 日本語 🦊 ‮','b','main','z-agent','z-project','active',1768460400000020,1768460400000020,1);
INSERT INTO "errands" VALUES('q-errand','','b','main','q-agent','q-project','active',1768474800000019,1768474800000019,2);
INSERT INTO "errands" VALUES('b-errand','plain','b','main','b-agent','b-project','active',1768478400000019,1768478400000019,3);
INSERT INTO "errands" VALUES('k-errand','','b','main','k-agent','k-project','active',1768478400000020,1768478400000020,4);
INSERT INTO "errands" VALUES('m-errand','It''s "quoted"
	tabbed \ slash','b','main','m-agent','m-project','active',1768489200000019,1768489200000019,5);
INSERT INTO "errands" VALUES('a-errand','''; DROP TABLE tasks; --','b','main','a-agent','a-project','active',1768507200000019,1768507200000019,6);
INSERT INTO "errands" VALUES('free-errand','no project','b','main',NULL,NULL,'active',1795871550582531,1795871550582531,7);
CREATE TABLE initiative_projects (
	initiative_id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	CONSTRAINT pk_initiative_projects PRIMARY KEY (initiative_id, project_id), 
	CONSTRAINT fk_initiative_projects_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE, 
	CONSTRAINT fk_initiative_projects_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
INSERT INTO "initiative_projects" VALUES('m-initiative','m-project');
INSERT INTO "initiative_projects" VALUES('z-initiative','z-project');
INSERT INTO "initiative_projects" VALUES('k-initiative','k-project');
INSERT INTO "initiative_projects" VALUES('b-initiative','b-project');
INSERT INTO "initiative_projects" VALUES('a-initiative','a-project');
INSERT INTO "initiative_projects" VALUES('q-initiative','q-project');
CREATE TABLE "initiatives" (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	status TEXT DEFAULT 'active' NOT NULL, 
	branch TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, max_agents INTEGER, dispatch_turn BIGINT, 
	CONSTRAINT pk_initiatives PRIMARY KEY (seq), 
	CONSTRAINT uq_initiatives_id UNIQUE (id), 
	CONSTRAINT ck_initiatives_status CHECK (status IN ('active', 'pending_review', 'completed', 'archived'))
);
INSERT INTO "initiatives" VALUES('z-initiative','naïve 日本語 🦊 ‮','active','naïve 日本語 🦊 ‮',1768460400000000,1768460400000000,1,NULL,NULL);
INSERT INTO "initiatives" VALUES('q-initiative','','active','',1768474800000000,1768474800000000,2,NULL,NULL);
INSERT INTO "initiatives" VALUES('b-initiative','plain','active','plain',1768478400000000,1768478400000000,3,NULL,NULL);
INSERT INTO "initiatives" VALUES('k-initiative','-','active','',1768478400000000,1768478400000000,4,NULL,NULL);
INSERT INTO "initiatives" VALUES('m-initiative','It''s "quoted"
	tabbed \ slash','active','It''s "quoted"
	tabbed \ slash',1768489200000000,1768489200000000,5,NULL,6);
INSERT INTO "initiatives" VALUES('a-initiative','''; DROP TABLE tasks; --','active','''; DROP TABLE tasks; --',1768507200000000,1768507200000000,6,NULL,NULL);
INSERT INTO "initiatives" VALUES('initiative','Plan','active','cw/plan',1795871550583919,1795871550583919,7,NULL,NULL);
INSERT INTO "initiatives" VALUES('limited-initiative','Limited','active','cw/limited',1795884841702425,1795884841702425,8,3,4);
CREATE TABLE "messages" (
	id TEXT NOT NULL, 
	sender_type TEXT NOT NULL, 
	sender_id TEXT, 
	recipient_type TEXT NOT NULL, 
	recipient_id TEXT, 
	type TEXT DEFAULT 'info' NOT NULL, 
	content TEXT NOT NULL, 
	requires_response BOOLEAN DEFAULT 0 NOT NULL, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	parent_message_id TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_messages PRIMARY KEY (seq), 
	CONSTRAINT uq_messages_id UNIQUE (id), 
	CONSTRAINT ck_messages_recipient_type CHECK (recipient_type IN ('agent', 'user')), 
	CONSTRAINT ck_messages_sender_type CHECK (sender_type IN ('agent', 'user')), 
	CONSTRAINT ck_messages_status CHECK (status IN ('pending', 'read', 'responded')), 
	CONSTRAINT ck_messages_type CHECK (type IN ('question', 'info', 'error', 'response')), 
	CONSTRAINT fk_messages_parent_message_id FOREIGN KEY(parent_message_id) REFERENCES messages (id) ON DELETE SET NULL, 
	CONSTRAINT fk_messages_recipient_id FOREIGN KEY(recipient_id) REFERENCES agents (id) ON DELETE SET NULL, 
	CONSTRAINT fk_messages_sender_id FOREIGN KEY(sender_id) REFERENCES agents (id) ON DELETE SET NULL
);
INSERT INTO "messages" VALUES('z-message','agent','z-agent','user',NULL,'info','naïve 日本語 🦊 ‮',1,'pending','m-message',1768460400000011,1768460400000011,1);
INSERT INTO "messages" VALUES('q-message','agent','q-agent','user',NULL,'info','',1,'pending','a-message',1768474800000010,1768474800000010,2);
INSERT INTO "messages" VALUES('b-message','agent','b-agent','user',NULL,'info','plain',1,'pending','k-message',1768478400000010,1768478400000010,3);
INSERT INTO "messages" VALUES('k-message','agent','k-agent','user',NULL,'info','',0,'pending','z-message',1768478400000011,1768478400000011,4);
INSERT INTO "messages" VALUES('m-message','agent','m-agent','user',NULL,'info','It''s "quoted"
	tabbed \ slash',0,'pending',NULL,1768489200000010,1768489200000010,5);
INSERT INTO "messages" VALUES('a-message','agent','a-agent','user',NULL,'info','''; DROP TABLE tasks; --',0,'pending','b-message',1768507200000010,1768507200000010,6);
CREATE TABLE "pages" (
	id TEXT NOT NULL, 
	initiative_id TEXT NOT NULL, 
	parent_page_id TEXT, 
	title TEXT NOT NULL, 
	content TEXT, 
	sort_order INTEGER DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_pages PRIMARY KEY (seq), 
	CONSTRAINT uq_pages_id UNIQUE (id), 
	CONSTRAINT fk_pages_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE, 
	CONSTRAINT fk_pages_parent_page_id FOREIGN KEY(parent_page_id) REFERENCES pages (id) ON DELETE CASCADE
);
INSERT INTO "pages" VALUES('z-root','z-initiative',NULL,'naïve 日本語 🦊 ‮','[[[]]]',0,1768460400000002,1768460400000002,1);
INSERT INTO "pages" VALUES('z-page','z-initiative','z-root','t',NULL,1,1768460400000003,1768460400000003,2);
INSERT INTO "pages" VALUES('q-root','q-initiative',NULL,'','{"big":1e+16,"edge":9223372036854775807}',0,1768474800000002,1768474800000002,3);
INSERT INTO "pages" VALUES('q-page','q-initiative','q-root','t',NULL,1,1768474800000003,1768474800000003,4);
INSERT INTO "pages" VALUES('b-root','b-initiative',NULL,'plain','0',0,1768478400000002,1768478400000002,5);
INSERT INTO "pages" VALUES('k-root','k-initiative',NULL,'','"1e16"',0,1768478400000002,1768478400000002,6);
INSERT INTO "pages" VALUES('b-page','b-initiative','b-root','t',NULL,1,1768478400000003,1768478400000003,7);
INSERT INTO "pages" VALUES('k-page','k-initiative','k-root','t',NULL,0,1768478400000003,1768478400000003,8);
INSERT INTO "pages" VALUES('m-root','m-initiative',NULL,'It''s "quoted"
	tabbed \ slash','{"b":1,"a":[null,true,1.5]}',0,1768489200000002,1768489200000002,9);
INSERT INTO "pages" VALUES('m-page','m-initiative','m-root','t',NULL,0,1768489200000003,1768489200000003,10);
INSERT INTO "pages" VALUES('a-root','a-initiative',NULL,'''; DROP TABLE tasks; --','false',0,1768507200000002,1768507200000002,11);
INSERT INTO "pages" VALUES('a-page','a-initiative','a-root','t',NULL,0,1768507200000003,1768507200000003,12);
CREATE TABLE phase_dependencies (
	phase_id TEXT NOT NULL, 
	depends_on_phase_id TEXT NOT NULL, 
	CONSTRAINT pk_phase_dependencies PRIMARY KEY (phase_id, depends_on_phase_id), 
	CONSTRAINT fk_phase_dependencies_depends_on_phase_id FOREIGN KEY(depends_on_phase_id) REFERENCES phases (id) ON DELETE CASCADE, 
	CONSTRAINT fk_phase_dependencies_phase_id FOREIGN KEY(phase_id) REFERENCES phases (id) ON DELETE CASCADE
);
INSERT INTO "phase_dependencies" VALUES('z-phase','m-phase');
INSERT INTO "phase_dependencies" VALUES('k-phase','z-phase');
INSERT INTO "phase_dependencies" VALUES('b-phase','k-phase');
INSERT INTO "phase_dependencies" VALUES('a-phase','b-phase');
INSERT INTO "phase_dependencies" VALUES('q-phase','a-phase');
INSERT INTO "phase_dependencies" VALUES('second-phase','first-phase');
INSERT INTO "phase_dependencies" VALUES('third-phase','first-phase');
INSERT INTO "phase_dependencies" VALUES('last-phase','second-phase');
INSERT INTO "phase_dependencies" VALUES('last-phase','third-phase');
INSERT INTO "phase_dependencies" VALUES('check-phase','build-phase');
CREATE TABLE "phases" (
	id TEXT NOT NULL, 
	initiative_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	content TEXT, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	merge_base TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, open_dependencies INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_phases PRIMARY KEY (seq), 
	CONSTRAINT uq_phases_id UNIQUE (id), 
	CONSTRAINT ck_phases_status CHECK (status IN ('pending', 'approved', 'in_progress', 'completed', 'blocked', 'pending_review')), 
	CONSTRAINT fk_phases_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE
);
INSERT INTO "phases" VALUES('z-phase','z-initiative','naïve 日本語 🦊 ‮','[[[]]]','approved',NULL,1768460400000001,1768460400000001,1,1);
INSERT INTO "phases" VALUES('q-phase','q-initiative','','{"big":1e+16,"edge":9223372036854775807}','approved',NULL,1768474800000001,1768474800000001,2,1);
INSERT INTO "phases" VALUES('b-phase','b-initiative','plain','0','approved',NULL,1768478400000001,1768478400000001,3,1);
INSERT INTO "phases" VALUES('k-phase','k-initiative','','"1e16"','approved',NULL,1768478400000001,1768478400000001,4,1);
INSERT INTO "phases" VALUES('m-phase','m-initiative','It''s "quoted"
	tabbed \ slash','{"b":1,"a":[null,true,1.5]}','in_progress',NULL,1768489200000001,1795884841883262,5,0);
INSERT INTO "phases" VALUES('a-phase','a-initiative','''; DROP TABLE tasks; --','false','approved',NULL,1768507200000001,1768507200000001,6,1);
INSERT INTO "phases" VALUES('first-phase','initiative','first',NULL,'completed',NULL,1795871550584874,1795871550587926,7,0);
INSERT INTO "phases" VALUES('second-phase','initiative','second',NULL,'pending',NULL,1795871550585032,1795871550585032,8,0);
INSERT INTO "phases" VALUES('third-phase','initiative','third',NULL,'in_progress',NULL,1795871550585117,1795871550588077,9,0);
INSERT INTO "phases" VALUES('last-phase','initiative','last',NULL,'pending',NULL,1795871550585172,1795871550585172,10,2);
INSERT INTO "phases" VALUES('build-phase','limited-initiative','build',NULL,'in_progress',NULL,1795884841704166,1795884841766472,11,0);
INSERT INTO "phases" VALUES('check-phase','limited-initiative','check all',NULL,'pending',NULL,1795884841704416,1795884841932756,12,1);
CREATE TABLE "projects" (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	url TEXT NOT NULL, 
	default_branch TEXT DEFAULT 'main' NOT NULL, 
	last_fetched_at BIGINT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (seq), 
	CONSTRAINT uq_projects_id UNIQUE (id), 
	CONSTRAINT uq_projects_name UNIQUE (name), 
	CONSTRAINT uq_projects_url UNIQUE (url)
);
INSERT INTO "projects" VALUES('z-project','z-project','https://git.example.org/z','main',NULL,1768460400000010,1768460400000010,1);
INSERT INTO "projects" VALUES('q-project','q-project','https://git.example.org/q','main',NULL,1768474800000009,1768474800000009,2);
INSERT INTO "projects" VALUES('b-project','b-project','https://git.example.org/b','main',NULL,1768478400000009,1768478400000009,3);
INSERT INTO "projects" VALUES('k-project','k-project','https://git.example.org/k','main',NULL,1768478400000010,1768478400000010,4);
INSERT INTO "projects" VALUES('m-project','m-project','https://git.example.org/m','main',NULL,1768489200000009,1768489200000009,5);
INSERT INTO "projects" VALUES('a-project','a-project','https://git.example.org/a','main',NULL,1768507200000009,1768507200000009,6);
CREATE TABLE "proposals" (
	id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	initiative_id TEXT NOT NULL, 
	target_type TEXT NOT NULL, 
	target_id TEXT, 
	title TEXT NOT NULL, 
	summary TEXT, 
	content TEXT, 
	metadata TEXT, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	sort_order INTEGER DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_proposals PRIMARY KEY (seq), 
	CONSTRAINT uq_proposals_id UNIQUE (id), 
	CONSTRAINT ck_proposals_status CHECK (status IN ('pending', 'accepted', 'dismissed')), 
	CONSTRAINT ck_proposals_target_type CHECK (target_type IN ('page', 'phase', 'task')), 
	CONSTRAINT fk_proposals_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT fk_proposals_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE
);
INSERT INTO "proposals" VALUES('z-proposal','z-agent','z-initiative','task',NULL,'naïve 日本語 🦊 ‮',NULL,NULL,'[[[]]]','pending',0,1768460400000009,1768460400000009,1);
INSERT INTO "proposals" VALUES('q-proposal','q-agent','q-initiative','task',NULL,'',NULL,NULL,'{"big":1e+16,"edge":9223372036854775807}','pending',0,1768474800000008,1768474800000008,2);
INSERT INTO "proposals" VALUES('b-proposal','b-agent','b-initiative','task',NULL,'plain',NULL,NULL,'0','pending',0,1768478400000008,1768478400000008,3);
INSERT INTO "proposals" VALUES('k-proposal','k-agent','k-initiative','task',NULL,'',NULL,NULL,'"1e16"','pending',0,1768478400000009,1768478400000009,4);
INSERT INTO "proposals" VALUES('m-proposal','m-agent','m-initiative','task',NULL,'It''s "quoted"
	tabbed \ slash',NULL,NULL,'{"b":1,"a":[null,true,1.5]}','pending',0,1768489200000008,1768489200000008,5);
INSERT INTO "proposals" VALUES('a-proposal','a-agent','a-initiative','task',NULL,'''; DROP TABLE tasks; --',NULL,NULL,'false','pending',0,1768507200000008,1768507200000008,6);
CREATE TABLE "review_comments" (
	id TEXT NOT NULL, 
	phase_id TEXT NOT NULL, 
	file_path TEXT NOT NULL, 
	line_number INTEGER NOT NULL, 
	line_type TEXT NOT NULL, 
	body TEXT NOT NULL, 
	author TEXT DEFAULT 'you' NOT NULL, 
	resolved BOOLEAN DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, 
	CONSTRAINT pk_review_comments PRIMARY KEY (seq), 
	CONSTRAINT uq_review_comments_id UNIQUE (id), 
	CONSTRAINT ck_review_comments_line_type CHECK (line_type IN ('added', 'removed', 'context')), 
	CONSTRAINT fk_review_comments_phase_id FOREIGN KEY(phase_id) REFERENCES phases (id) ON DELETE CASCADE
);
INSERT INTO "review_comments" VALUES('z-comment','m-phase','naïve 日本語 🦊 ‮',1,'added','naïve 日本語 🦊 ‮','you',1,1768460400000021,1768460400000021,1);
INSERT INTO "review_comments" VALUES('q-comment','m-phase','',5,'added','','you',1,1768474800000020,1768474800000020,2);
INSERT INTO "review_comments" VALUES('b-comment','m-phase','plain',3,'added','plain','you',1,1768478400000020,1768478400000020,3);
INSERT INTO "review_comments" VALUES('k-comment','m-phase','',2,'added','','you',0,1768478400000021,1768478400000021,4);
INSERT INTO "review_comments" VALUES('m-comment','m-phase','It''s "quoted"
	tabbed \ slash',0,'added','It''s "quoted"
	tabbed \ slash','you',0,1768489200000020,1768489200000020,5);
INSERT INTO "review_comments" VALUES('a-comment','m-phase','''; DROP TABLE tasks; --',4,'added','''; DROP TABLE tasks; --','you',0,1768507200000020,1768507200000020,6);
CREATE TABLE store_state (name TEXT NOT NULL, value TEXT NOT NULL, CONSTRAINT pk_store_state PRIMARY KEY (name));
INSERT INTO "store_state" VALUES('dispatch_turn','5');
CREATE TABLE task_dependencies (
	task_id TEXT NOT NULL, 
	depends_on_task_id TEXT NOT NULL, 
	CONSTRAINT pk_task_dependencies PRIMARY KEY (task_id, depends_on_task_id), 
	CONSTRAINT fk_task_dependencies_depends_on_task_id FOREIGN KEY(depends_on_task_id) REFERENCES tasks (id) ON DELETE CASCADE, 
	CONSTRAINT fk_task_dependencies_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
INSERT INTO "task_dependencies" VALUES('z-task','m-task');
INSERT INTO "task_dependencies" VALUES('k-task','z-task');
INSERT INTO "task_dependencies" VALUES('b-task','k-task');
INSERT INTO "task_dependencies" VALUES('a-task','b-task');
INSERT INTO "task_dependencies" VALUES('q-task','a-task');
INSERT INTO "task_dependencies" VALUES('two-task','one-task');
INSERT INTO "task_dependencies" VALUES('three-task','one-task');
INSERT INTO "task_dependencies" VALUES('four-task','two-task');
INSERT INTO "task_dependencies" VALUES('four-task','three-task');
INSERT INTO "task_dependencies" VALUES('five-task','four-task');
INSERT INTO "task_dependencies" VALUES('four-task','one-task');
INSERT INTO "task_dependencies" VALUES('waiting-task','held-task');
INSERT INTO "task_dependencies" VALUES('waiting-task','ended-task');
CREATE TABLE "tasks" (
	id TEXT NOT NULL, 
	phase_id TEXT, 
	initiative_id TEXT, 
	parent_task_id TEXT, 
	name TEXT NOT NULL, 
	description TEXT, 
	type TEXT DEFAULT 'auto' NOT NULL, 
	category TEXT DEFAULT 'execute' NOT NULL, 
	priority TEXT DEFAULT 'medium' NOT NULL, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	"order" INTEGER DEFAULT 0 NOT NULL, 
	summary TEXT, 
	retry_count INTEGER DEFAULT 0 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	seq INTEGER NOT NULL, max_retries INTEGER DEFAULT 3 NOT NULL, not_before BIGINT, epoch INTEGER DEFAULT 0 NOT NULL, open_dependencies INTEGER DEFAULT 0 NOT NULL, claimed_by_agent_id TEXT CONSTRAINT fk_tasks_claimed_by_agent_id REFERENCES agents (id) ON DELETE SET NULL DEFERRABLE CONSTRAINT ck_tasks_claimed CHECK (claimed_by_agent_id IS NULL OR status = 'in_progress'), 
	CONSTRAINT pk_tasks PRIMARY KEY (seq), 
	CONSTRAINT uq_tasks_id UNIQUE (id), 
	CONSTRAINT ck_tasks_category CHECK (category IN ('execute', 'research', 'discuss', 'plan', 'detail', 'refine', 'verify', 'merge', 'review')), 
	CONSTRAINT ck_tasks_priority CHECK (priority IN ('low', 'medium', 'high')), 
	CONSTRAINT ck_tasks_status CHECK (status IN ('pending', 'in_progress', 'completed', 'blocked')), 
	CONSTRAINT ck_tasks_type CHECK (type IN ('auto')), 
	CONSTRAINT fk_tasks_initiative_id FOREIGN KEY(initiative_id) REFERENCES initiatives (id) ON DELETE CASCADE, 
	CONSTRAINT fk_tasks_parent_task_id FOREIGN KEY(parent_task_id) REFERENCES tasks (id) ON DELETE CASCADE, 
	CONSTRAINT fk_tasks_phase_id FOREIGN KEY(phase_id) REFERENCES phases (id) ON DELETE CASCADE
);
INSERT INTO "tasks" VALUES('z-task','z-phase','z-initiative',NULL,'naïve 日本語 🦊 ‮','naïve 日本語 🦊 ‮','auto','execute','medium','pending',1,NULL,0,1768460400000004,1768460400000004,1,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('z-subtask','z-phase','z-initiative','z-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768460400000005,1768460400000005,2,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('q-task','q-phase','q-initiative',NULL,'','','auto','execute','medium','pending',1,NULL,0,1768474800000004,1768474800000004,3,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('q-subtask','q-phase','q-initiative','q-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768474800000005,1768474800000005,4,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('b-task','b-phase','b-initiative',NULL,'plain','plain','auto','execute','medium','pending',1,NULL,0,1768478400000004,1768478400000004,5,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('k-task','k-phase','k-initiative',NULL,'','','auto','execute','medium','pending',0,NULL,0,1768478400000004,1768478400000004,6,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('b-subtask','b-phase','b-initiative','b-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768478400000005,1768478400000005,7,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('k-subtask','k-phase','k-initiative','k-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768478400000005,1768478400000005,8,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('m-task','m-phase','m-initiative',NULL,'It''s "quoted"
	tabbed \ slash','It''s "quoted"
	tabbed \ slash','auto','execute','medium','in_progress',0,NULL,0,1768489200000004,1795884841883310,9,3,NULL,1,0,'n-8MsV2o4xL8P4FewrphT');
INSERT INTO "tasks" VALUES('m-subtask','m-phase','m-initiative','m-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768489200000005,1768489200000005,10,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('a-task','a-phase','a-initiative',NULL,'''; DROP TABLE tasks; --','''; DROP TABLE tasks; --','auto','execute','medium','pending',0,NULL,0,1768507200000004,1768507200000004,11,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('a-subtask','a-phase','a-initiative','a-task','s',NULL,'auto','execute','medium','completed',0,NULL,0,1768507200000005,1768507200000005,12,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('one-task','first-phase','initiative',NULL,'one',NULL,'auto','execute','medium','completed',0,'done',0,1795871550589471,1795871550593284,13,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('two-task','second-phase','initiative',NULL,'two',NULL,'auto','execute','medium','blocked',0,NULL,0,1795871550589760,1795871550595568,14,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('three-task','third-phase','initiative',NULL,'three',NULL,'auto','execute','medium','in_progress',0,NULL,0,1795871550589864,1795871550595383,15,3,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('four-task','last-phase','initiative',NULL,'four',NULL,'auto','execute','medium','pending',0,NULL,0,1795871550589967,1795871550589967,16,3,NULL,0,2,NULL);
INSERT INTO "tasks" VALUES('five-task',NULL,NULL,NULL,'five',NULL,'auto','execute','medium','pending',0,NULL,0,1795871550590859,1795871550590859,17,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('held-task','build-phase','limited-initiative',NULL,'held',NULL,'auto','execute','medium','in_progress',0,NULL,0,1795884841720744,1795884841830522,18,3,NULL,1,0,'PlvPohlSh8_UtIRZK-InG');
INSERT INTO "tasks" VALUES('ended-task','build-phase','limited-initiative',NULL,'ended',NULL,'auto','execute','medium','completed',0,'done',0,1795884841721391,1795884841796244,19,3,NULL,1,0,NULL);
INSERT INTO "tasks" VALUES('late-task','build-phase','limited-initiative',NULL,'late',NULL,'auto','execute','medium','pending',0,NULL,1,1795884841721528,1795884841835337,20,3,2111244841835337,1,0,NULL);
INSERT INTO "tasks" VALUES('waiting-task','build-phase','limited-initiative',NULL,'waiting',NULL,'auto','execute','medium','pending',0,NULL,0,1795884841721714,1795884841721714,21,3,NULL,0,1,NULL);
INSERT INTO "tasks" VALUES('given-back-task','build-phase','limited-initiative',NULL,'given-back',NULL,'auto','execute','medium','pending',0,NULL,0,1795884841721801,1795884841853897,22,3,NULL,2,0,NULL);
INSERT INTO "tasks" VALUES('check-task','check-phase','limited-initiative',NULL,'check','more to check','auto','execute','medium','pending',0,NULL,0,1795884841726928,1795884841910464,23,1,NULL,0,0,NULL);
INSERT INTO "tasks" VALUES('loose-task',NULL,NULL,NULL,'loose',NULL,'auto','execute','medium','in_progress',0,NULL,0,1795884841861309,1795884841863685,24,3,NULL,1,0,'08Yj5QFvDr10beHt3rnZL');
CREATE INDEX ix_initiative_projects_project_id ON initiative_projects (project_id);
CREATE INDEX ix_phase_dependencies_depends_on_phase_id ON phase_dependencies (depends_on_phase_id);
CREATE INDEX ix_task_dependencies_depends_on_task_id ON task_dependencies (depends_on_task_id);
CREATE INDEX ix_accounts_email ON accounts (email);
CREATE INDEX ix_accounts_provider_last_used_at_sort_order_id ON accounts (provider, last_used_at, sort_order, id);
CREATE INDEX ix_agent_log_chunks_agent_id ON agent_log_chunks (agent_id);
CREATE INDEX ix_agent_log_chunks_agent_id_session_number ON agent_log_chunks (agent_id, session_number);
CREATE INDEX ix_agents_account_id ON agents (account_id);
CREATE INDEX ix_agents_initiative_id ON agents (initiative_id);
CREATE INDEX ix_agents_task_id ON agents (task_id);
CREATE INDEX ix_agents_session_id ON agents (session_id);
CREATE INDEX ix_agents_status ON agents (status);
CREATE INDEX ix_change_set_entries_change_set_id_sort_order ON change_set_entries (change_set_id, sort_order);
CREATE INDEX ix_change_sets_initiative_id ON change_sets (initiative_id);
CREATE INDEX ix_change_sets_agent_id ON change_sets (agent_id);
CREATE INDEX ix_chat_messages_change_set_id ON chat_messages (change_set_id);
CREATE INDEX ix_chat_messages_chat_session_id ON chat_messages (chat_session_id);
CREATE INDEX ix_chat_sessions_initiative_id ON chat_sessions (initiative_id);
CREATE INDEX ix_chat_sessions_target_type_target_id_status ON chat_sessions (target_type, target_id, status);
CREATE INDEX ix_chat_sessions_agent_id_status ON chat_sessions (agent_id, status);
CREATE INDEX ix_conversations_initiative_id ON conversations (initiative_id);
CREATE INDEX ix_conversations_phase_id ON conversations (phase_id);
CREATE INDEX ix_conversations_task_id ON conversations (task_id);
CREATE INDEX ix_conversations_to_agent_id_status ON conversations (to_agent_id, status);
CREATE INDEX ix_conversations_from_agent_id ON conversations (from_agent_id);
CREATE INDEX ix_conversations_pending ON conversations (seq) WHERE status = 'pending';
CREATE INDEX ix_errands_agent_id ON errands (agent_id);
CREATE INDEX ix_errands_project_id ON errands (project_id);
CREATE INDEX ix_errands_status ON errands (status);
CREATE INDEX ix_initiatives_status ON initiatives (status);
CREATE INDEX ix_messages_recipient_type_recipient_id_status ON messages (recipient_type, recipient_id, status);
CREATE INDEX ix_messages_recipient_id_recipient_type ON messages (recipient_id, recipient_type);
CREATE INDEX ix_messages_recipient_type_status ON messages (recipient_type, status);
CREATE INDEX ix_messages_sender_type ON messages (sender_type);
CREATE INDEX ix_messages_sender_id_sender_type ON messages (sender_id, sender_type);
CREATE INDEX ix_messages_parent_message_id ON messages (parent_message_id);
CREATE INDEX ix_messages_requiring_response ON messages (seq) WHERE requires_response AND status <> 'responded';
CREATE UNIQUE INDEX uq_pages_root ON pages (initiative_id) WHERE parent_page_id IS NULL;
CREATE INDEX ix_pages_initiative_id ON pages (initiative_id);
CREATE INDEX ix_pages_parent_page_id_sort_order ON pages (parent_page_id, sort_order);
CREATE INDEX ix_phases_initiative_id ON phases (initiative_id);
CREATE INDEX ix_phases_status ON phases (status);
CREATE INDEX ix_proposals_agent_id ON proposals (agent_id);
CREATE INDEX ix_proposals_agent_id_status ON proposals (agent_id, status);
CREATE INDEX ix_proposals_initiative_id ON proposals (initiative_id);
CREATE INDEX ix_review_comments_phase_id ON review_comments (phase_id);
CREATE INDEX ix_tasks_phase_id_order ON tasks (phase_id, "order");
CREATE INDEX ix_tasks_initiative_id_order ON tasks (initiative_id, "order");
CREATE INDEX ix_tasks_parent_task_id_order ON tasks (parent_task_id, "order");
CREATE INDEX ix_tasks_status ON tasks (status);
CREATE INDEX ix_accounts_exhausted_until ON accounts (exhausted_until) WHERE exhausted_until IS NOT NULL;
CREATE INDEX ix_agents_lease ON agents (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX ix_agents_lease_account ON agents (account_id) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX ix_agents_lease_initiative ON agents (initiative_id) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX ix_conversations_waiting ON conversations (from_agent_id, to_agent_id) WHERE status = 'pending';
CREATE INDEX ix_phases_open ON phases (initiative_id, status, open_dependencies) WHERE status <> 'completed';
CREATE INDEX ix_tasks_claimed ON tasks (claimed_by_agent_id) WHERE claimed_by_agent_id IS NOT NULL;
CREATE INDEX ix_tasks_not_before ON tasks (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX ix_tasks_open ON tasks (phase_id, status, open_dependencies, (CASE priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END), "order", seq) WHERE status <> 'completed';
CREATE INDEX ix_tasks_open_without_phase ON tasks (initiative_id, status, open_dependencies, (CASE priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END), "order", seq) WHERE status <> 'completed' AND phase_id IS NULL;
CREATE TRIGGER cw_store_phases_crossed AFTER UPDATE OF status ON phases WHEN (OLD.status = 'completed') <> (NEW.status = 'completed') BEGIN
    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT edge.phase_id AS id, sum(prerequisite.status <> 'completed') AS number
        FROM phase_dependencies AS changed
        JOIN phase_dependencies AS edge ON edge.phase_id = changed.phase_id
        JOIN phases AS prerequisite ON prerequisite.id = edge.depends_on_phase_id
        WHERE changed.depends_on_phase_id = NEW.id
        GROUP BY edge.phase_id
    ) AS counted
    WHERE phases.id = counted.id AND phases.status <> 'completed' AND open_dependencies <> counted.number;

    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE NEW.status <> 'completed' AND phase_id = NEW.id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE NEW.status <> 'completed' AND phases.id = NEW.id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_phase_dependencies_added AFTER INSERT ON phase_dependencies BEGIN
    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = NEW.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = NEW.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_phase_dependencies_removed AFTER DELETE ON phase_dependencies BEGIN
    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = OLD.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = OLD.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_phase_dependencies_changed AFTER UPDATE ON phase_dependencies BEGIN
    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = OLD.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = OLD.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;

    UPDATE phases SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM phase_dependencies
        JOIN phases AS prerequisite ON prerequisite.id = depends_on_phase_id
        WHERE phase_id = NEW.phase_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE phases.id = NEW.phase_id AND phases.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_tasks_crossed AFTER UPDATE OF status ON tasks WHEN (OLD.status = 'completed') <> (NEW.status = 'completed') BEGIN
    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT edge.task_id AS id, sum(prerequisite.status <> 'completed') AS number
        FROM task_dependencies AS changed
        JOIN task_dependencies AS edge ON edge.task_id = changed.task_id
        JOIN tasks AS prerequisite ON prerequisite.id = edge.depends_on_task_id
        WHERE changed.depends_on_task_id = NEW.id
        GROUP BY edge.task_id
    ) AS counted
    WHERE tasks.id = counted.id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;

    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE NEW.status <> 'completed' AND task_id = NEW.id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE NEW.status <> 'completed' AND tasks.id = NEW.id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_task_dependencies_added AFTER INSERT ON task_dependencies BEGIN
    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = NEW.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = NEW.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_task_dependencies_removed AFTER DELETE ON task_dependencies BEGIN
    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = OLD.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = OLD.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_task_dependencies_changed AFTER UPDATE ON task_dependencies BEGIN
    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = OLD.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = OLD.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;

    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = NEW.task_id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = NEW.task_id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;
END;
CREATE TRIGGER cw_store_tasks_released AFTER UPDATE OF claimed_by_agent_id ON tasks WHEN OLD.claimed_by_agent_id IS NOT NULL AND NEW.claimed_by_agent_id IS NULL AND NEW.status <> 'completed' BEGIN
    UPDATE tasks SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM task_dependencies
        JOIN tasks AS prerequisite ON prerequisite.id = depends_on_task_id
        WHERE task_id = NEW.id AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE tasks.id = NEW.id AND tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed' AND open_dependencies <> counted.number;

    UPDATE agents SET lease_expires_at = NULL, status = 'crashed', updated_at = updated_at + 1
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL AND NEW.status = 'in_progress' AND NEW.epoch = OLD.epoch;
    UPDATE tasks SET status = 'pending', epoch = epoch + 1, updated_at = updated_at + 1
    WHERE id = NEW.id AND claimed_by_agent_id IS NULL AND status = 'in_progress'
        AND epoch = OLD.epoch;
END;
CREATE TRIGGER cw_store_tasks_deleted AFTER DELETE ON tasks WHEN OLD.claimed_by_agent_id IS NOT NULL BEGIN
    UPDATE agents SET lease_expires_at = NULL, status = 'crashed', updated_at = updated_at + 1
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL;
END;
COMMIT;
