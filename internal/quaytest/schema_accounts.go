package quaytest

// accountTables are those of accounts, their rights and their secrets.
const accountTables = `
table accesstokenkind
	name string unique
table externalnotificationevent
	name string unique
table externalnotificationmethod
	name string unique
table imagestoragelocation
	name string unique
table imagestoragesignaturekind
	name string unique
table imagestoragetransformation
	name string unique
table labelsourcetype
	name string unique
	mutable bool =false
table logentrykind
	name string unique
table loginservice
	name string unique
table mediatype
	name string unique
table notificationkind
	name string unique
table repositorykind
	name string unique
table role
	name string unique
table tagkind
	name string unique
table teamrole
	name string index
table visibility
	name string unique
table quotatype
	name string
table buildtriggerservice
	name string unique
table disablereason
	name string unique
table userpromptkind
	name string index

table user
	uuid string(36)? =uuid index
	username string unique
	password_hash string?
	email string =random64
	verified bool =false
	stripe_id string? index
	organization bool =false index
	robot bool =false index
	invoice_email bool =false
	invalid_login_attempts int default=0
	last_invalid_login time =now
	removed_tag_expiration_s int default=1209600 @v37
	removed_tag_expiration_s bigint default=1209600 @latest
	enabled bool default=true
	invoice_email_address string? index
	company string?
	family_name string?
	given_name string?
	location string?
	maximum_queued_builds_count int?
	creation_date time? =now
	last_accessed time? index
	unique email @v37
table userprompt
	user_id ->user
	kind_id ->userpromptkind
	unique user_id kind_id
table userregion
	user_id ->user
	location_id ->imagestoragelocation
table organizationcontactemail @latest
	organization_id ->user unique
	contact_email string? index
table namespacegeorestriction @v37
	namespace_id ->user
	added time =now
	description string
	unstructured_json longtext ={}
	restricted_region_iso_code string index
	unique namespace_id restricted_region_iso_code
table deletednamespace
	namespace_id ->user unique
	marked time =now
	original_username string index
	original_email string index
	queue_id string? index
table robotaccountmetadata
	robot_account_id ->user unique
	description string =
	unstructured_json longtext ={}
table robotaccounttoken
	robot_account_id ->user unique
	token string =sealed64
	fully_migrated bool default=false
table federatedlogin
	user_id ->user
	service_id ->loginservice
	service_ident string
	metadata_json text ={}
	unique service_id service_ident
	unique service_id user_id
table emailconfirmation
	code string =random16 unique
	user_id ->user
	pw_reset bool =false
	new_email string?
	email_confirm bool =false
	created time =now
	verification_code string?

table team
	name string index
	organization_id ->user
	role_id ->teamrole
	description text =
	unique name organization_id
table teammember
	user_id ->user
	team_id ->team
	unique user_id team_id
table teammemberinvite
	user_id ->user?
	email string?
	team_id ->team
	inviter_id ->user
	invite_token string =urn:teaminvite
table teamsync
	team_id ->team unique
	transaction_id string =uuid
	last_updated time? index
	service_id ->loginservice
	config text ={}
table permissionprototype
	org_id ->user
	uuid string =uuid index
	activating_user_id ->user?
	delegate_user_id ->user?
	delegate_team_id ->team?
	role_id ->role
	index org_id activating_user_id

table oauthapplication
	client_id string =random20 index
	redirect_uri string =
	application_uri string =
	organization_id ->user
	name string
	description text =
	gravatar_email string?
	secure_client_secret string? =sealed40
	fully_migrated bool default=false
table oauthauthorizationcode
	application_id ->oauthapplication
	scope string
	data text =
	code_credential string
	code_name string unique
table oauthaccesstoken
	uuid string =uuid index
	application_id ->oauthapplication
	authorized_user_id ->user
	scope string
	token_type string =Bearer
	expires_at time
	data text =
	token_code string
	token_name string unique
	display_name string? @latest
	last_accessed time? @latest
	created time? =now @latest
table oauthassignedtoken @latest
	uuid string =uuid unique
	assigned_user_id ->user
	application_id ->oauthapplication
	redirect_uri string?
	scope string
	response_type string?
table appspecificauthtoken
	user_id ->user
	uuid string(36) =uuid index
	title string
	created time =now
	expiration time?
	last_accessed time?
	token_name string =random60 unique
	token_secret string =sealed60
	index user_id expiration
table servicekeyapproval
	approver_id int? index
	approval_type string index
	approved_date time =now
	notes longtext =
table servicekey
	name string
	kid string unique
	service string index
	jwk longtext
	metadata longtext ={}
	created_date time =now
	expiration_date time?
	rotation_duration int?
	approval_id ->servicekeyapproval?
table messages
	content text
	uuid string(36) =uuid index
	media_type_id ->mediatype default=1
	severity string default=info index
table notification
	uuid string =uuid index
	kind_id ->notificationkind
	target_id ->user
	metadata_json text ={}
	created time =now index
	dismissed bool =false
	lookup_path string? index

table userorganizationquota
	namespace_id ->user unique
	limit_bytes bigint
table quotalimits
	quota_id ->userorganizationquota
	quota_type_id ->quotatype
	percent_of_limit int =0
table quotanamespacesize @latest
	namespace_user_id ->user unique
	size_bytes bigint default=0 index
	backfill_start_ms bigint? index
	backfill_complete bool default=false
table quotaregistrysize @latest
	size_bytes bigint default=0
	running bool default=false
	queued bool default=false
	completed_ms bigint?
table quotanotificationstate @latest
	namespace_id ->user
	threshold_percent int
	last_notified_at time?
	cleared bool default=true
	unique namespace_id threshold_percent
table namespacenotification @latest
	uuid string =uuid index
	namespace_id ->user
	event_id ->externalnotificationevent
	method_id ->externalnotificationmethod
	title string?
	config_json text ={}
	event_config_json text default={}
	number_of_failures int default=0
	last_ran_ms bigint?
table namespaceautoprunepolicy @latest
	uuid string(36) =uuid unique
	namespace_id ->user
	policy text ={}
table autoprunetaskstatus @latest
	namespace_id ->user unique
	last_ran_ms bigint? index
	status text?
table namespaceimmutabilitypolicy @latest
	uuid string(36) =uuid unique
	namespace_id ->user
	policy text ={}
table proxycacheconfig
	organization_id ->user
	creation_date time =now
	upstream_registry string(2048)
	upstream_registry_username string(4096)?
	upstream_registry_password string(4096)?
	expiration_s int? default=86400
	insecure bool default=false
table redhatsubscriptions @latest
	user_id ->user
	account_number int
table organizationrhskus @latest
	subscription_id int index
	org_id ->user
	user_id ->user
	quantity int?
`
