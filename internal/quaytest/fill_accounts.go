package quaytest

import "time"

const day = 24 * time.Hour

// accounts writes users, organizations and robots.
func (f *filler) accounts() {
	f.user(User{Name: "ann", Email: "ann@example.com", Password: random(20)}, Row{
		"given_name": "Ann", "family_name": "Ångström", "company": "Acme", "location": "Zürich", "last_accessed": f.ago(time.Hour),
		"creation_date": f.ago(900 * day), "removed_tag_expiration_s": int64(4 * 7 * 24 * 3600),
	})
	f.user(User{Name: "bob", Email: "bob@example.com", Password: random(20)}, Row{"invalid_login_attempts": 2})
	f.user(User{Name: "dora", Email: "dora@example.com", Password: random(20), Disabled: true}, nil)
	f.user(User{Name: "newcomer", Email: "newcomer@example.com", Password: random(20), Unverified: true}, Row{"creation_date": nil})
	f.user(User{Name: "carl", Email: "carl@example.com", LDAP: "carl.l"}, nil)
	f.insert("emailconfirmation", Row{"user_id": f.id("newcomer"), "email_confirm": true, "verification_code": hash(f.t, "code")})
	f.insert("userprompt", Row{"user_id": f.id("carl"), "kind_id": "enter_name"})

	f.org("acme", "team@acme.example.com", Row{"removed_tag_expiration_s": int64(7 * 24 * 3600), "invoice_email": true, "invoice_email_address": "bills@acme.example.com"})
	f.org("cache", "cache@example.com", nil)
	f.org("copies", "copies@example.com", nil)
	if f.Release == Latest && f.dialect.returning {
		f.org("acme-two", "team@acme.example.com", nil) // organizations may share an address there
	}
	if f.Has("organizationcontactemail", "") {
		f.insert("organizationcontactemail", Row{"organization_id": f.id("acme"), "contact_email": "team@acme.example.com"})
	}

	f.robot(Robot{Name: "ann+laptop", Description: "My laptop"}, Row{})
	f.robot(Robot{Name: "acme+ci", Description: "Builds & tests"}, Row{"owner": "platform", "rotated": true})
	f.robot(Robot{Name: "acme+mirror"}, Row{})
	f.robot(Robot{Name: "copies+mirror"}, Row{})
	if f.Release == Latest {
		f.robot(Robot{Name: "acme+cloud", Issuer: "https://issuer.example.com", Subject: "repo:acme/app"}, Row{})
	}

	f.insert("userregion", Row{"user_id": f.id("acme"), "location_id": "default"})
	f.insert("userregion", Row{"user_id": f.id("dora"), "location_id": "s3_eu_west_1"}) // which config.yaml has no more
	f.s.Regions["acme"], f.s.Regions["dora"] = "default", "s3_eu_west_1"
}

func (f *filler) user(u User, more Row) {
	row := Row{"username": u.Name, "email": u.Email, "verified": !u.Unverified, "enabled": !u.Disabled}
	if u.Password != "" {
		row["password_hash"] = hash(f.t, u.Password)
	}
	f.ids[u.Name] = f.insert("user", row.with(more))
	if u.LDAP != "" {
		f.insert("federatedlogin", Row{"user_id": f.id(u.Name), "service_id": "ldap", "service_ident": u.LDAP, "metadata_json": Row{"service_username": u.LDAP}})
	}
	f.s.Users = append(f.s.Users, u)
}

func (f *filler) org(name, email string, more Row) {
	f.ids[name] = f.insert("user", Row{"username": name, "email": email, "organization": true}.with(more))
	f.s.Orgs = append(f.s.Orgs, name)
}

func (f *filler) robot(r Robot, notes Row) {
	r.Token = random(64)
	id := f.insert("user", Row{"username": r.Name, "email": newUUID(), "robot": true})
	f.ids[r.Name] = id
	f.insert("robotaccounttoken", Row{"robot_account_id": id, "token": f.Seal(r.Token), "fully_migrated": true})
	f.insert("robotaccountmetadata", Row{"robot_account_id": id, "description": r.Description, "unstructured_json": notes})
	meta := Row{}
	if r.Issuer != "" {
		meta["federation_config"] = []any{Row{"issuer": r.Issuer, "subject": r.Subject}}
	}
	f.insert("federatedlogin", Row{"user_id": id, "service_id": "quayrobot", "service_ident": "robot:" + itoa(id), "metadata_json": meta})
	f.s.Robots = append(f.s.Robots, r)
}

// teams writes those of acme, with their members, and of the other
// organizations the one that each has.
func (f *filler) teams() {
	f.team(Team{"acme", "owners", "admin", []string{"ann"}}, "")
	f.team(Team{"acme", "creators", "creator", []string{"bob"}}, "They make new repositories")
	f.team(Team{"acme", "devs", "member", []string{"bob", "newcomer", "acme+ci"}}, "**Developers**")
	f.team(Team{"acme", "staff", "member", []string{"carl"}}, "Synchronized")
	for _, org := range f.s.Orgs[1:] {
		f.team(Team{org, "owners", "admin", []string{"ann"}}, "")
	}
	f.s.Synced = TeamSync{"acme", "staff", "ldap", "cn=staff,ou=groups"}
	f.insert("teamsync", Row{
		"team_id": f.id("acme:staff"), "service_id": "ldap", "config": twice(f.t, Row{"group_dn": f.s.Synced.Group}), "last_updated": f.ago(time.Minute),
	})
	f.s.Invite = Invite{"acme", "devs", "guest@example.com", "ann", "urn:teaminvite:" + newUUID()}
	f.insert("teammemberinvite", Row{
		"team_id": f.id("acme:devs"), "email": f.s.Invite.Email, "inviter_id": f.id("ann"), "invite_token": f.s.Invite.Token,
	})
}

func (f *filler) team(team Team, description string) {
	id := f.insert("team", Row{
		"name": team.Name, "organization_id": f.id(team.Org), "role_id": team.Role, "description": description,
	})
	f.ids[team.Org+":"+team.Name] = id
	for _, m := range team.Members {
		f.insert("teammember", Row{"user_id": f.id(m), "team_id": id})
	}
	f.s.Teams = append(f.s.Teams, team)
}

// rights writes who may do what with the repositories.
func (f *filler) rights() {
	for _, p := range []Permission{
		{Repo: "ann/home", User: "ann", Role: "admin"},
		{Repo: "ann/home", User: "bob", Role: "read"},
		{Repo: "ann/home", User: "ann+laptop", Role: "write"},
		{Repo: "ann/site", User: "ann", Role: "admin"},
		{Repo: "acme/app", User: "acme+ci", Role: "write"},
		{Repo: "acme/app", Team: "devs", Role: "write"},
		{Repo: "acme/app", User: "dora", Role: "read"},
		{Repo: "acme/tools/build/base", Team: "staff", Role: "read"},
		{Repo: "acme/mirrored", User: "acme+mirror", Role: "write"},
	} {
		row := Row{"repository_id": f.id(p.Repo), "role_id": p.Role}
		if p.Team != "" {
			row["team_id"] = f.id("acme:" + p.Team)
		} else {
			row["user_id"] = f.id(p.User)
		}
		f.insert("repositorypermission", row)
		f.s.Permissions = append(f.s.Permissions, p)
	}
	for _, p := range []Prototype{
		{Org: "acme", Team: "devs", Role: "write"},
		{Org: "acme", Activating: "bob", User: "acme+ci", Role: "admin"},
	} {
		row := Row{"org_id": f.id(p.Org), "role_id": p.Role}
		if p.Activating != "" {
			row["activating_user_id"] = f.id(p.Activating)
		}
		if p.Team != "" {
			row["delegate_team_id"] = f.id(p.Org + ":" + p.Team)
		} else {
			row["delegate_user_id"] = f.id(p.User)
		}
		f.insert("permissionprototype", row)
		f.s.Prototypes = append(f.s.Prototypes, p)
	}
	for _, s := range []Star{{"ann", "acme/app"}, {"bob", "acme/app"}, {"bob", "ann/site"}} {
		f.insert("star", Row{"user_id": f.id(s.User), "repository_id": f.id(s.Repo)})
		f.s.Stars = append(f.s.Stars, s)
	}
}

// tokens writes what programs sign in with.
func (f *filler) tokens() {
	app := Application{"acme", "Dashboard", random(20), random(40), "https://dash.example.com/callback"}
	id := f.insert("oauthapplication", Row{
		"client_id": app.ClientID, "secure_client_secret": f.Seal(app.Secret), "redirect_uri": app.RedirectURI, "fully_migrated": true,
		"application_uri": "https://dash.example.com", "organization_id": f.id("acme"), "name": app.Name, "description": "Shows the builds",
		"gravatar_email": "dash@example.com",
	})
	f.s.Application = app
	token := OAuthToken{"ann", random(40), "repo:read repo:write org:admin"}
	f.oauthToken(id, token, f.ago(-10*365*day))
	f.oauthToken(id, OAuthToken{"bob", random(40), "repo:read"}, f.ago(day)) // expired
	f.s.OAuthToken = token
	if f.Has("oauthassignedtoken", "") {
		f.insert("oauthassignedtoken", Row{
			"assigned_user_id": f.id("bob"), "application_id": id, "redirect_uri": app.RedirectURI, "scope": "repo:read", "response_type": "token",
		})
	}

	f.s.AppToken = AppToken{"bob", "Docker on my phone", random(120)}
	f.insert("appspecificauthtoken", Row{
		"user_id": f.id("bob"), "title": f.s.AppToken.Title, "token_name": f.s.AppToken.Token[:60], "token_secret": f.Seal(f.s.AppToken.Token[60:]),
		"last_accessed": f.ago(time.Hour),
	})
	f.insert("appspecificauthtoken", Row{"user_id": f.id("bob"), "title": "Expired", "expiration": f.ago(day)})

	f.s.RepoToken = RepoToken{"acme/app", "read", "Old deployment", random(64)}
	f.insert("accesstoken", Row{
		"friendly_name": f.s.RepoToken.Name, "repository_id": f.id("acme/app"), "role_id": f.s.RepoToken.Role, "temporary": false,
		"kind_id": "pushpull-token", "token_name": f.s.RepoToken.Token[:32], "token_code": f.Seal(f.s.RepoToken.Token[32:]),
	})

	f.s.ServiceKey = random(43)
	approval := f.insert("servicekeyapproval", Row{
		"approver_id": f.id("ann"), "approval_type": "ServiceKeyApprovalType.SUPERUSER", "notes": "For the mirror",
	})
	f.insert("servicekey", Row{
		"name": "mirror", "kid": f.s.ServiceKey, "service": "quay", "approval_id": approval, "metadata": Row{"created_by": "CLI tool"},
		"jwk": Row{"kty": "RSA", "e": "AQAB", "n": publicModulus(f.t), "kid": f.s.ServiceKey}, "expiration_date": f.ago(-2 * time.Hour),
	})
}

func (f *filler) oauthToken(application int64, token OAuthToken, expires time.Time) {
	f.insert("oauthaccesstoken", Row{
		"application_id": application, "authorized_user_id": f.id(token.User), "scope": token.Scope, "expires_at": expires,
		"data": Row{"username": token.User}, "token_name": token.Token[:20], "token_code": hash(f.t, token.Token[20:]),
	})
}
