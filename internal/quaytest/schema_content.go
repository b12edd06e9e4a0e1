package quaytest

// contentTables are those of repositories and what is in them.
const contentTables = `
table repository
	namespace_user_id ->user?
	name string
	visibility_id ->visibility
	description text?
	badge_token string =uuid
	kind_id ->repositorykind default=1
	trust_enabled bool default=false
	state int default=0 index
	unique namespace_user_id name
table repositorysearchscore
	repository_id ->repository unique
	score bigint =0 index
	last_updated time?
table deletedrepository
	repository_id ->repository unique
	marked time =now
	original_name string index
	queue_id string? index
table star
	user_id ->user
	repository_id ->repository
	created time =now
	unique user_id repository_id
table repositorypermission
	team_id ->team?
	user_id ->user?
	repository_id ->repository
	role_id ->role
	unique team_id repository_id
	unique user_id repository_id
table repositoryactioncount
	repository_id ->repository
	count int
	date date =now index
	unique repository_id date
table repositoryauthorizedemail
	repository_id ->repository
	email string
	code string =random16 unique
	confirmed bool =false
	unique email repository_id
table repositorynotification
	uuid string =uuid index
	repository_id ->repository
	event_id ->externalnotificationevent
	method_id ->externalnotificationmethod
	title string?
	config_json text ={}
	event_config_json longtext ={}
	number_of_failures int default=0
	last_ran_ms bigint? index @latest
table quotarepositorysize @latest
	repository_id ->repository unique
	size_bytes bigint default=0 index
	backfill_start_ms bigint?
	backfill_complete bool default=false
table repositoryautoprunepolicy @latest
	uuid string(36) =uuid unique
	repository_id ->repository
	namespace_id ->user
	policy text ={}
table repositoryimmutabilitypolicy @latest
	uuid string(36) =uuid unique
	repository_id ->repository
	namespace_id ->user
	policy text ={}

table imagestorage
	uuid string =uuid unique
	image_size bigint?
	uncompressed_size bigint?
	uploading bool? =true
	cas_path bool =true
	content_checksum string? index
table imagestorageplacement
	storage_id ->imagestorage
	location_id ->imagestoragelocation
	unique storage_id location_id
table imagestoragesignature
	storage_id ->imagestorage
	kind_id ->imagestoragesignaturekind
	signature text?
	uploading bool? =true
	unique kind_id storage_id
table blobupload
	repository_id ->repository
	uuid string =uuid unique
	byte_count bigint =0
	sha_state text?
	location_id ->imagestoragelocation
	storage_metadata text? ={}
	chunk_count int default=0
	uncompressed_byte_count bigint?
	created time =now index
	piece_sha_state longtext?
	piece_hashes longtext?
	unique repository_id uuid
table uploadedblob bigid
	repository_id ->repository
	blob_id ->imagestorage
	uploaded_at time =now
	expires_at time index

table manifest
	repository_id ->repository
	digest string index
	media_type_id ->mediatype
	manifest_bytes longtext
	config_media_type string?
	layers_compressed_size bigint?
	subject string? @latest
	subject_backfilled bool? =false index @latest
	artifact_type string? @latest
	artifact_type_backfilled bool? =false index @latest
	unique repository_id digest
	index repository_id media_type_id
	index repository_id config_media_type
	index repository_id subject @latest
	index repository_id artifact_type @latest
table manifestchild
	repository_id ->repository
	manifest_id ->manifest
	child_manifest_id ->manifest
	unique manifest_id child_manifest_id
	index repository_id manifest_id
	index repository_id child_manifest_id
	index repository_id manifest_id child_manifest_id
table manifestblob
	repository_id ->repository
	manifest_id ->manifest
	blob_id ->imagestorage
	unique manifest_id blob_id
	index repository_id blob_id
table manifestsecuritystatus
	manifest_id ->manifest unique
	repository_id ->repository
	index_status int index
	error_json text ={}
	last_indexed time =now index
	indexer_hash string(128) index
	indexer_version int index
	metadata_json text ={}
table label
	uuid string =uuid unique
	key string index
	value longtext
	media_type_id ->mediatype
	source_type_id ->labelsourcetype
table manifestlabel
	repository_id ->repository
	manifest_id ->manifest
	label_id ->label
	unique manifest_id label_id
table tag
	name string
	repository_id ->repository
	manifest_id ->manifest?
	lifetime_start_ms bigint =nowms
	lifetime_end_ms bigint? index
	hidden bool default=false
	reversion bool default=false
	tag_kind_id ->tagkind =1
	linked_tag_id ->tag?
	immutable bool default=false @latest
	unique repository_id name lifetime_end_ms
	index repository_id name
	index repository_id name hidden
	index repository_id name tag_kind_id
	index repository_id lifetime_start_ms
	index repository_id lifetime_end_ms
	index repository_id immutable @latest
	index manifest_id immutable @latest
	index manifest_id lifetime_end_ms @latest
table tagnotificationsuccess @latest
	notification_id ->repositorynotification
	tag_id ->tag
	method_id ->externalnotificationmethod
table tagpullstatistics @latest
	repository_id ->repository
	tag_name string
	tag_pull_count bigint =0
	last_tag_pull_date time =now
	current_manifest_digest string?
	unique repository_id tag_name
table manifestpullstatistics @latest
	repository_id ->repository
	manifest_digest string
	manifest_pull_count bigint =0
	last_manifest_pull_date time =now
	unique repository_id manifest_digest
`

// workTables are those of mirrors, builds, queues and logs.
const workTables = `
table repomirrorrule
	uuid string(36) =uuid unique
	repository_id ->repository
	creation_date time =now
	rule_type int =1 index
	rule_value text
	left_child_id ->repomirrorrule?
	right_child_id ->repomirrorrule?
table repomirrorconfig
	repository_id ->repository unique
	creation_date time =now
	is_enabled bool =true
	mirror_type int =1 index
	internal_robot_id ->user
	external_registry_username string(4096)?
	external_registry_password string(4096)? @v37
	external_registry_password string(9000)? @latest
	external_registry_config text ={}
	sync_interval int default=60
	sync_start_date time?
	sync_expiration_date time?
	sync_retries_remaining int default=3
	sync_status int =0 index
	sync_transaction_id string(36)? =uuid index
	root_rule_id ->repomirrorrule
	external_reference text
	skopeo_timeout bigint default=300 @latest
	architecture_filter text? @latest
table orgmirrorconfig @latest
	organization_id ->user unique
	creation_date time =now
	is_enabled bool default=true
	mirror_type int default=1
	external_registry_type int
	external_registry_url string(2048)
	external_namespace string
	external_registry_username string(4096)?
	external_registry_password string(9000)?
	external_registry_config text ={}
	internal_robot_id ->user
	repository_filters text =[]
	visibility_id ->visibility
	delete_stale_repos bool default=false
	sync_interval int
	sync_start_date time? index
	sync_expiration_date time?
	sync_retries_remaining int default=3
	sync_status int default=0 index
	sync_transaction_id string(36)? =uuid
	skopeo_timeout bigint default=300
	architecture_filter text default=[]
table orgmirrorrepository @latest
	org_mirror_config_id ->orgmirrorconfig
	repository_name string
	repository_id ->repository?
	discovery_date time =now
	sync_status int default=0 index
	sync_start_date time?
	sync_expiration_date time?
	sync_retries_remaining int default=3
	sync_transaction_id string(36)? =uuid
	last_sync_date time?
	status_message text?
	creation_date time =now
	unique org_mirror_config_id repository_name
	index org_mirror_config_id sync_status

table accesstoken
	friendly_name string?
	repository_id ->repository
	created time =now
	role_id ->role
	temporary bool =true
	kind_id ->accesstokenkind?
	token_code string =sealed32
	token_name string =random32 unique
table repositorybuildtrigger
	uuid string =uuid index
	service_id ->buildtriggerservice
	repository_id ->repository
	connected_user_id ->user
	config text ={}
	write_token_id ->accesstoken?
	pull_robot_id ->user?
	disabled_reason_id ->disablereason?
	enabled bool default=true
	successive_failure_count int default=0
	successive_internal_error_count int default=0
	disabled_datetime time? =now index
	secure_auth_token string?
	secure_private_key text?
	fully_migrated bool default=false
table repositorybuild
	uuid string =uuid index
	repository_id ->repository
	access_token_id ->accesstoken
	resource_key string? index
	job_config text ={}
	phase string =waiting
	started time =now index
	display_name string
	trigger_id ->repositorybuildtrigger?
	pull_robot_id ->user?
	logs_archived bool default=false index
	queue_id string? index
	index repository_id started phase
	index started logs_archived phase
table queueitem
	queue_name string(1024)
	body text ={}
	available_after time =now
	available bool =true
	processing_expires time?
	retries_remaining int =5
	state_id string =uuid unique
	index processing_expires available
	index processing_expires available_after retries_remaining available

table logentry bigid
	kind_id ->logentrykind
	account_id int index
	performer_id int? index
	repository_id int? index
	datetime time =now index
	ip string?
	metadata_json text ={}
	index account_id datetime
	index performer_id datetime
	index repository_id datetime
	index repository_id datetime kind_id
table logentry2
	kind_id ->logentrykind
	account_id int index
	performer_id int? index
	repository_id int? index
	datetime time =now index
	ip string?
	metadata_json text ={}
	index account_id datetime
	index performer_id datetime
	index repository_id datetime
	index repository_id datetime kind_id
table logentry3 bigid
	kind_id int
	account_id int
	performer_id int?
	repository_id int?
	datetime time =now index
	ip string?
	metadata_json text ={} @v37
	metadata_json mediumtext ={} @latest
	index account_id datetime
	index performer_id datetime
	index repository_id datetime kind_id

table quayregion
	name string unique
table quayservice
	name string unique
table quayrelease
	service_id ->quayservice
	version string
	region_id ->quayregion
	reverted bool =false
	created time =now index
	unique service_id version region_id
	index service_id region_id created

table apprtagkind
	name string unique
table apprblobplacementlocation
	name string unique
table apprblob
	digest string unique
	media_type_id ->mediatype
	size bigint
	uncompressed_size bigint?
table apprblobplacement
	blob_id ->apprblob
	location_id ->apprblobplacementlocation
	unique blob_id location_id
table apprmanifest
	digest string unique
	media_type_id ->mediatype
	manifest_json longtext
table apprmanifestblob
	manifest_id ->apprmanifest
	blob_id ->apprblob
	unique manifest_id blob_id
table apprmanifestlist
	digest string unique
	manifest_list_json longtext
	schema_version string
	media_type_id ->mediatype
table apprmanifestlistmanifest
	manifest_list_id ->apprmanifestlist
	manifest_id ->apprmanifest
	operating_system string?
	architecture string?
	platform_json longtext?
	media_type_id ->mediatype
	index manifest_list_id media_type_id
table apprtag
	name string
	repository_id ->repository
	manifest_list_id ->apprmanifestlist?
	lifetime_start bigint =nowms
	lifetime_end bigint? index
	hidden bool =false
	reverted bool =false
	protected bool =false
	tag_kind_id ->apprtagkind
	linked_tag_id ->apprtag?
	unique repository_id name lifetime_end
	index repository_id name
	index repository_id name hidden
`
