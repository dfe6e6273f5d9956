//! The document of the hub: every call of the protocol that it supports, with the types of the protocol crate.
//!
//! The hub's routes are compared with it by a test, so a route that is added without a line here fails. Pages for people are not
//! in it.

use masv_protocol::{
    API_KEY_HEADER, AcceptInvitation, Activity, ActivityStep, AllPackagesQuery, AnnouncedFile, AuditEntry, AuditQuery,
    BegunFile, Blueprint, ChangeKey, ChangeMember, ChangePackage, ChangePassword, ConfirmDownload, ConfirmedDownload,
    CreatedKey, Credentials, Download, Empty, ErrorBody, File, FileAddress, FinalizeFile, FinalizeFiles, FinalizedFile,
    Form, Health, IDEMPOTENCY_HEADER, Invitation, Key, LINK_PASSWORD_HEADER, Limits, Link, LinkQuery, LinkSettings,
    Member, NewFile, NewFiles, NewKey, NewMember, NewPackage, NewPortalPackage, NewTag, NewTeam, OpenedLink, Outcomes,
    PACKAGE_TOKEN_HEADER, Package, PackageExpiry, PackageMetadata, PackageQuery, PackageWithToken, Page, PageQuery,
    PartAddresses, PartWindow, Portal, PortalQuery, PortalSettings, PublicPortal, SetBrand, SetMetadata, SetQuota,
    SignedIn, SmallFiles, Tag, Team, TeamBrand, TeamUsage, USER_TOKEN_HEADER, User, Webhook, WebhookSettings,
    WhoIsSignedIn,
};
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::{Document, Operation, refusals};

/// Who may make a call.
#[derive(Debug, Clone, Copy)]
enum Right {
    /// Public.
    Anybody,
    /// Any key or session.
    Known,
    /// A key or a person of the team.
    Team,
    /// A key or a person of the team, with the role of an admin.
    Admin,
    /// Operators, who have the hub's data.
    Operator,
    /// Holders of the package's token, and its team.
    Package,
}

impl Right {
    fn security(self) -> Value {
        match self {
            Self::Anybody => json!([]),
            Self::Known | Self::Team | Self::Admin | Self::Operator => json!([{ "key": [] }, { "session": [] }]),
            Self::Package => json!([{ "package": [] }, { "key": [] }, { "session": [] }]),
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Anybody => "",
            Self::Known => "For every key and every signed-in user.",
            Self::Team => "For the team.",
            Self::Admin => "For admins of the team.",
            Self::Operator => "For operators who have the hub's data directory.",
            Self::Package => "With the package's token, or for its team.",
        }
    }
}

#[derive(Default)]
struct Calls {
    document: Document,
}

/// One call that is being described.
struct Call<'a> {
    document: &'a mut Document,
    method: &'static str,
    path: &'static str,
    operation: Operation,
}

impl Calls {
    /// Starts the documentation of a call; the heading is the last noun of its path.
    fn call(&mut self, id: &str, method: &'static str, path: &'static str, right: Right, about: &str) -> Call<'_> {
        let known =
            ["auth", "system", "files", "links", "packages", "portals", "members", "api_keys", "custom_webhooks"];
        let words: Vec<&str> = path.split('/').collect();
        let tag = known.into_iter().find(|noun| words.contains(noun)).unwrap_or(match words.get(1) {
            Some(&"storage") => "storage",
            Some(&"healthz" | &"readyz") => "system",
            _ => "teams",
        });
        let about = format!("{about}\n{}", right.sentence());
        let mut operation = Operation::new(path, id, tag, about.trim());
        operation.set("security", right.security());
        operation.fails_with::<ErrorBody>(&mut self.document.schemas);
        if let Some(when) = refusals::of(id) {
            operation.refuses::<ErrorBody>(400, &when, &mut self.document.schemas);
        }
        Call { document: &mut self.document, method, path, operation }
    }
}

impl Call<'_> {
    fn query<T: JsonSchema>(mut self) -> Self {
        self.operation.query::<T>(&mut self.document.schemas);
        self
    }

    /// A call that may be repeated when no answer came.
    fn repeatable(mut self) -> Self {
        let about = "Repeated with the same key within seven days, the call makes nothing else; for a package, as long as nothing was added to it: once it has a file or is finalized, it makes another.";
        self.operation.header(IDEMPOTENCY_HEADER, "string", false, about);
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        let schema = self.document.schemas.taken::<T>();
        self.operation.takes(schema);
        if !self.operation.has_response(400) {
            let when = "If a field is given that is not in here.";
            self.operation.refuses::<ErrorBody>(400, when, &mut self.document.schemas);
        }
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) {
        let schema = self.document.schemas.answered::<T>().to_value();
        self.operation.answers(status, Some(("application/json", schema)));
        self.done();
    }

    /// A call that exists so that whoever makes it is told why it is refused.
    fn always_refused(mut self) {
        self.operation.refuses::<ErrorBody>(400, "Always.", &mut self.document.schemas);
        // Generators of clients want a good answer, too.
        self.gives::<Empty>(201);
    }

    fn gives_nothing(mut self) {
        self.operation.answers(204, None);
        self.done();
    }

    fn done(self) {
        self.document.insert(self.method, self.path, self.operation);
    }
}

/// The document of the hub of this version.
#[must_use]
pub fn document() -> Value {
    let mut calls = Calls::default();
    system(&mut calls);
    packages(&mut calls);
    files(&mut calls);
    links(&mut calls);
    teams(&mut calls);
    people(&mut calls);
    portals(&mut calls);
    storage(&mut calls);
    let scheme =
        |name: &str, about: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": about });
    calls.document.finish(json!({
        "info": {
            "title": "masv-hub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The cloud protocol as the self-hosted hub answers it. A field or a filter that is not in here is refused by its name (400) \
                if it asks for anything, except for fields of answers that are given back, and of files and their parts. \
                Every field may be left out where it is not said to be required. Times are RFC 3339 in UTC; 0001-01-01T00:00:00.000Z is \
                none. Values of a list in a query are joined by commas in one key, or the key is repeated.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://localhost:8090" }],
        "components": { "securitySchemes": {
            "key": scheme(API_KEY_HEADER, "An API key of the team."),
            "session": scheme(USER_TOKEN_HEADER, "The token of a signed-in user."),
            "package": scheme(PACKAGE_TOKEN_HEADER, "The token returned when a package was created or a link was opened."),
        } },
    }))
}

fn system(calls: &mut Calls) {
    use Right::{Anybody, Known};
    calls.call("sign_in", "POST", "/v1/auth", Anybody, "Signs in.").takes::<Credentials>().gives::<SignedIn>(200);
    let about = "Who is signed in, with their teams. For people only.";
    calls.call("get_session", "GET", "/v1/auth", Known, about).gives::<WhoIsSignedIn>(200);
    let about = "A signed-in person sets a new password; all their other sessions end.";
    calls.call("change_password", "PUT", "/v1/auth", Known, about).takes::<ChangePassword>().gives_nothing();
    calls.call("sign_out", "DELETE", "/v1/auth", Known, "Ends the session of the call.").gives_nothing();
    let about = "The limits of files and parts.";
    calls.call("get_limits", "GET", "/v1/system/packages/spec", Anybody, about).gives::<Limits>(200);
    calls
        .call("get_health", "GET", "/healthz", Anybody, "Whether the hub is there: its database answers.")
        .gives::<Health>(200);
    let about = "Whether the hub can work: its database saves changes, and its bucket, if it has one, answers.";
    calls.call("get_readiness", "GET", "/readyz", Anybody, about).gives::<Health>(200);
}

fn packages(calls: &mut Calls) {
    use Right::{Package as OfPackage, Team};
    let about = "Creates a package of a team.";
    calls
        .call("create_package", "POST", "/v1/teams/{team}/packages", Team, about)
        .repeatable()
        .takes::<NewPackage>()
        .gives::<PackageWithToken>(201);
    let about = "The packages that a team sent, without pages: up to 10,000, newest first.";
    calls
        .call("list_packages", "GET", "/v1/teams/{team}/packages", Team, about)
        .query::<AllPackagesQuery>()
        .gives::<Vec<PackageWithToken>>(200);
    let about = "Changes a package; omitted properties stay as they are.";
    calls
        .call("change_package", "PUT", "/v1/packages/{package}", OfPackage, about)
        .takes::<ChangePackage>()
        .gives::<Package>(200);
    let about = "What the sender of a package filled in.";
    calls
        .call("get_package_metadata", "GET", "/v1/packages/{package}/metadata", OfPackage, about)
        .gives::<PackageMetadata>(200);
    let about = "Replaces what the sender of a package filled in.";
    calls
        .call("set_package_metadata", "PUT", "/v1/packages/{package}/metadata", OfPackage, about)
        .takes::<SetMetadata>()
        .gives::<PackageMetadata>(200);
    let about = "Transfers to other clouds: always refused.";
    calls.call("transfer_package", "POST", "/v1/packages/{package}/transfer", OfPackage, about).always_refused();
    let about = "Removes a package with its files and links.";
    calls.call("remove_package", "DELETE", "/v1/packages/{package}", OfPackage, about).gives_nothing();
    let about = "Finalizes a package: its recipients are notified.\nRepeating it changes nothing.";
    calls.call("finalize_package", "POST", "/v1/packages/{package}/finalize", OfPackage, about).gives::<Package>(200);
    let about = "Revokes all issued tokens of a package, including the caller's. Not for senders to a portal.";
    let path = "/v1/packages/{package}/tokens";
    calls.call("end_package_tokens", "DELETE", path, OfPackage, about).gives_nothing();
    let about =
        "Downloads of a package, newest first: by whom, when, what and from where. Not for senders to a portal.";
    calls
        .call("list_downloads", "GET", "/v1/packages/{package}/downloads", OfPackage, about)
        .gives::<Vec<Download>>(200);
    let about = "Whoever downloads confirms that files have arrived; believed of files that are read from a bucket.";
    calls
        .call("confirm_download", "POST", "/v1/packages/{package}/downloads", OfPackage, about)
        .takes::<ConfirmDownload>()
        .gives::<ConfirmedDownload>(200);
    let about = "Changes when a package expires.\nExactly one of the two fields.";
    calls
        .call("set_package_expiry", "PUT", "/v1/packages/{package}/expiry", OfPackage, about)
        .takes::<PackageExpiry>()
        .gives::<Package>(200);
    let about = "Transfers of a package to other clouds: always none.";
    calls
        .call("list_package_transfers", "GET", "/v1/packages/{package}/transfer", OfPackage, about)
        .gives::<Vec<Value>>(200);
    let about = "The packages that a team sent.";
    calls
        .call("list_sent_packages", "GET", "/v1.1/teams/{team}/packages", Team, about)
        .query::<PackageQuery>()
        .gives::<Page<Package>>(200);
    let about = "The packages received through a team's portals.";
    calls
        .call("list_received_packages", "GET", "/v1.1/teams/{team}/inbox", Team, about)
        .query::<PackageQuery>()
        .gives::<Page<Package>>(200);
    let about = "A package of a team, with the token to change it.";
    calls
        .call("get_package", "GET", "/v1.1/teams/{team}/packages/{package}", Team, about)
        .gives::<PackageWithToken>(200);
}

fn files(calls: &mut Calls) {
    use Right::Package as OfPackage;
    let about = "The files of a package.";
    calls.call("list_files", "GET", "/v1/packages/{package}/files", OfPackage, about).gives::<Vec<File>>(200);
    let about = "Announces a file.\nAn unfinalized one with the same name in the same folder is replaced.";
    calls
        .call("create_file", "POST", "/v1/packages/{package}/files", OfPackage, about)
        .takes::<NewFile>()
        .gives::<AnnouncedFile>(201);
    let about = "Presigned URLs for parts of a file, in order.";
    calls
        .call("create_part_addresses", "POST", "/v1/packages/{package}/files/{file}", OfPackage, about)
        .query::<PartWindow>()
        .takes::<PartAddresses>()
        .gives::<Vec<Blueprint>>(200);
    let about = "Removes a file from a package that is not finalized.";
    calls.call("remove_file", "DELETE", "/v1/packages/{package}/files/{file}", OfPackage, about).gives_nothing();
    let about = "Finalizes a file: all its parts are there.\nRepeating it changes nothing.";
    calls
        .call("finalize_file", "POST", "/v1/packages/{package}/files/{file}/finalize", OfPackage, about)
        .takes::<FinalizeFile>()
        .gives::<File>(200);
    let about =
        "Announces files and begins them in the storage.\nOf each of them is said what became of it, in this order.";
    calls
        .call("create_files", "POST", "/v1/packages/{package}/batches/files", OfPackage, about)
        .takes::<NewFiles>()
        .gives::<Outcomes<BegunFile>>(201);
    let about =
        "Finalizes files.\nRepeating it changes nothing. Of each of them is said what became of it, in this order.";
    calls
        .call("finalize_files", "POST", "/v1/packages/{package}/batches/finalize", OfPackage, about)
        .takes::<FinalizeFiles>()
        .gives::<Outcomes<FinalizedFile>>(200);
    let about = "Stores and finalizes small files.\nThe body is the length of a list of them as JSON (SmallFiles) in four bytes, the \
        highest first; that list; and the bytes of all files, in this order. A file whose MD5 is another is refused. Repeating it \
        changes nothing. Of each file is said what became of it, in this order.";
    let mut call = calls.call("store_files", "POST", "/v1/packages/{package}/batches/contents", OfPackage, about);
    call.document.schemas.taken::<SmallFiles>();
    call.operation.takes_as("application/octet-stream", json!({ "type": "string", "format": "binary" }));
    call.gives::<Outcomes<FinalizedFile>>(200);
    let about = "A temporary URL for reading a file, with range requests.";
    calls
        .call("get_file_address", "GET", "/v1/packages/{package}/files/{file}/download", OfPackage, about)
        .gives::<FileAddress>(200);
}

fn links(calls: &mut Calls) {
    use Right::{Anybody, Package as OfPackage};
    let about = "The links to a package.";
    calls.call("list_links", "GET", "/v1/packages/{package}/links", OfPackage, about).gives::<Vec<Link>>(200);
    let about = "Creates a link to a package, and e-mails it if an address is given.";
    calls
        .call("create_link", "POST", "/v1/packages/{package}/links", OfPackage, about)
        .repeatable()
        .takes::<LinkSettings>()
        .gives::<Link>(201);
    for (change, remove, path) in [
        ("change_link", "remove_link", "/v1/links/{link}"),
        ("change_link_of_package", "remove_link_of_package", "/v1/packages/{package}/links/{link}"),
    ] {
        let about = "Changes a link; omitted fields stay as they are.";
        calls.call(change, "PUT", path, OfPackage, about).takes::<LinkSettings>().gives::<Link>(200);
        calls.call(remove, "DELETE", path, OfPackage, "Removes a link.").gives_nothing();
    }
    let about = "A link, with its secret.";
    calls.call("get_link", "GET", "/v1.1/links/{link}", OfPackage, about).gives::<Link>(200);
    let about = "Sends the mail with a link once more. For links that were made for an e-mail address.";
    calls.call("mail_link", "POST", "/v1/links/{link}/mail", OfPackage, about).gives_nothing();
    let about = "Opens a link: the right to read its package.\n401 without the right password, 403 beyond its limit, 404 for an \
                 unknown link or a wrong secret, 410 when it has expired.";
    let mut open = calls.call("open_link", "GET", "/v1/links/{link}", Anybody, about).query::<LinkQuery>();
    open.operation.header(LINK_PASSWORD_HEADER, "string", false, "The password of a link that has one.");
    open.gives::<OpenedLink>(200);
}

fn teams(calls: &mut Calls) {
    use Right::{Admin, Known, Operator, Team as OfTeam};
    let about = "The teams of the caller, with the caller's role.";
    calls.call("list_teams", "GET", "/v1/teams", Known, about).gives::<Vec<Team>>(200);
    calls.call("create_team", "POST", "/v1/teams", Operator, "Makes a team.").takes::<NewTeam>().gives::<Team>(201);
    let about = "How much a team has stored, and may store.";
    calls.call("get_team_usage", "GET", "/v1/teams/{team}/usage", OfTeam, about).gives::<TeamUsage>(200);
    let about = "Sets how much a team may store; what it has already stays.";
    calls
        .call("set_team_quota", "PUT", "/v1/teams/{team}/quota", Operator, about)
        .takes::<SetQuota>()
        .gives::<TeamUsage>(200);
    let about = "How the pages of a team's links look.";
    calls.call("get_team_brand", "GET", "/v1/teams/{team}/brand", OfTeam, about).gives::<TeamBrand>(200);
    let about =
        "Sets the colour, the logo and the background of the pages of a team's links; omitted fields stay as they are.";
    calls
        .call("set_team_brand", "PUT", "/v1/teams/{team}/brand", Admin, about)
        .takes::<SetBrand>()
        .gives::<TeamBrand>(200);
    let about = "The tags of a team.";
    calls.call("list_tags", "GET", "/v1/teams/{team}/tags", OfTeam, about).gives::<Vec<Tag>>(200);
    let about = "Makes a tag, unless there is one of this name.";
    calls.call("create_tag", "POST", "/v1/teams/{team}/tags", OfTeam, about).takes::<NewTag>().gives::<Tag>(201);
    let about = "Takes a tag from all that have it, and removes it.";
    calls.call("remove_tag", "DELETE", "/v1/tags/{tag}", Admin, about).gives_nothing();
    let about = "Teamspaces: always none.";
    calls.call("list_spaces", "GET", "/v1/teams/{team}/spaces", OfTeam, about).gives::<Vec<Value>>(200);
    let about = "Makes a teamspace: always refused.";
    calls.call("create_space", "POST", "/v1/teams/{team}/spaces", OfTeam, about).always_refused();
    let about = "Connects to another cloud: always refused.";
    calls.call("create_cloud_connection", "POST", "/v1/teams/{team}/cloud_connections", OfTeam, about).always_refused();
    let about = "What happened to a team's packages, newest first.";
    calls
        .call("list_activities", "GET", "/v1.1/teams/{team}/activities", OfTeam, about)
        .query::<PageQuery>()
        .gives::<Page<Activity>>(200);
    let about = "The events of an activity.";
    calls
        .call("list_activity_events", "GET", "/v1/teams/{team}/activities/{activity}/events", OfTeam, about)
        .gives::<Vec<ActivityStep>>(200);
    let about = "Connections to other clouds: always none.";
    calls
        .call("list_cloud_connections", "GET", "/v1/teams/{team}/cloud_connections", OfTeam, about)
        .gives::<Vec<Value>>(200);
    let about = "Who changed what, newest first.";
    calls
        .call("list_audit_entries", "GET", "/v1/teams/{team}/audit", Admin, about)
        .query::<AuditQuery>()
        .gives::<Page<AuditEntry>>(200);
    let (all, one) = ("/v1/teams/{team}/custom_webhooks", "/v1/teams/{team}/custom_webhooks/{hook}");
    calls.call("list_webhooks", "GET", all, Admin, "The webhooks of a team.").gives::<Vec<Webhook>>(200);
    calls
        .call("create_webhook", "POST", all, Admin, "Makes a webhook.")
        .takes::<WebhookSettings>()
        .gives::<Webhook>(201);
    let about = "Changes a webhook; omitted properties stay as they are.";
    for (change, remove, path) in [
        ("change_webhook", "remove_webhook", one),
        ("change_webhook_by_id", "remove_webhook_by_id", "/v1/custom_webhooks/{hook}"),
    ] {
        calls.call(change, "PUT", path, Admin, about).takes::<WebhookSettings>().gives::<Webhook>(200);
        calls.call(remove, "DELETE", path, Admin, "Removes a webhook.").gives_nothing();
    }
}

fn people(calls: &mut Calls) {
    use Right::{Admin, Team};
    let (all, one) = ("/v1/teams/{team}/members", "/v1/teams/{team}/members/{member}");
    calls.call("list_members", "GET", all, Team, "The people of a team.").gives::<Vec<Member>>(200);
    calls.call("add_member", "POST", all, Admin, "Adds a person.").takes::<NewMember>().gives::<Member>(201);
    let about = "Changes a person, given by id or e-mail address; omitted properties stay as they are.";
    calls.call("change_member", "PUT", one, Admin, about).takes::<ChangeMember>().gives::<Member>(200);
    let about = "Takes a person, named by id or mail address, out of the team.";
    calls.call("remove_member", "DELETE", one, Admin, about).gives_nothing();
    let path = "/v1/teams/{team}/members/{member}/invitation";
    let about = "Lets a person choose a password: mails an address where that works once, within a week.";
    calls.call("invite_member", "POST", path, Admin, about).gives::<Invitation>(200);
    let about = "Chooses the password of whoever was invited.\n410 if the invitation was used or is over.";
    calls
        .call("accept_invitation", "POST", "/v1/invitations", Right::Anybody, about)
        .takes::<AcceptInvitation>()
        .gives::<User>(200);
    let (all, one) = ("/v1/teams/{team}/api_keys", "/v1/teams/{team}/api_keys/{key}");
    let about = "The API keys of a team, without the keys themselves.";
    calls.call("list_keys", "GET", all, Admin, about).gives::<Vec<Key>>(200);
    let about = "Makes an API key; only this answer tells the key.";
    calls.call("create_key", "POST", all, Admin, about).takes::<NewKey>().gives::<CreatedKey>(201);
    for (change, remove, path) in
        [("change_key", "remove_key", one), ("change_key_by_id", "remove_key_by_id", "/v1/api_keys/{key}")]
    {
        let about = "Changes an API key: its name, role, expiry and state; omitted properties stay as they are.";
        calls.call(change, "PUT", path, Admin, about).takes::<ChangeKey>().gives::<Key>(200);
        calls.call(remove, "DELETE", path, Admin, "Revokes an API key.").gives_nothing();
    }
}

fn portals(calls: &mut Calls) {
    use Right::{Admin, Anybody, Team};
    let about = "The portals of a team.";
    calls
        .call("list_portals", "GET", "/v1.1/teams/{team}/portals", Team, about)
        .query::<PortalQuery>()
        .gives::<Page<Portal>>(200);
    let about = "The portals of a team, without pages: up to 10,000, by name.";
    calls.call("list_portals_of_team", "GET", "/v1/teams/{team}/portals", Team, about).gives::<Vec<Portal>>(200);
    let path = "/v1/portals/{portal}/form";
    let about = "What senders to a portal are asked to fill in.\n404 where nothing is.";
    calls.call("get_form", "GET", path, Anybody, about).gives::<Form>(200);
    let about = "Gives a portal its form.\n409 where it has one.";
    calls.call("create_form", "POST", path, Admin, about).takes::<Form>().gives::<Form>(201);
    calls.call("change_form", "PUT", path, Admin, "Replaces the form of a portal.").takes::<Form>().gives::<Form>(200);
    calls.call("remove_form", "DELETE", path, Admin, "Takes its form from a portal.").gives_nothing();
    let about = "Makes a portal.";
    calls
        .call("create_portal", "POST", "/v1/teams/{team}/portals", Admin, about)
        .takes::<PortalSettings>()
        .gives::<Portal>(201);
    let about = "A portal as its team sees it.";
    for (id, path) in [("get_portal", "/v1.1/portals/{portal}"), ("show_portal", "/v1/portals/{portal}")] {
        calls.call(id, "GET", path, Team, about).gives::<Portal>(200);
    }
    let about = "Changes a portal; omitted properties stay as they are.";
    calls
        .call("change_portal", "PUT", "/v1/portals/{portal}", Admin, about)
        .takes::<PortalSettings>()
        .gives::<Portal>(200);
    let about = "Removes a portal; the packages that came through it stay.";
    calls.call("remove_portal", "DELETE", "/v1/portals/{portal}", Admin, about).gives_nothing();
    let about = "A portal as its senders see it.";
    calls.call("find_portal", "GET", "/v1/subdomains/portals/{subdomain}", Anybody, about).gives::<PublicPortal>(200);
    let about = "Makes a package for a portal.\n401 without the right access code.";
    calls
        .call("create_portal_package", "POST", "/v1/portals/{portal}/packages", Anybody, about)
        .takes::<NewPortalPackage>()
        .gives::<PackageWithToken>(201);
}

/// The storage is called by the URLs that the calls above return, and by no others.
fn storage(calls: &mut Calls) {
    let path = "/storage/{package}/{file}";
    let text = || json!({ "type": "string" });
    let bytes = || json!({ "type": "string", "format": "binary" });
    for (id, method, about) in [
        ("begin_upload", "POST", "Begins a file.\nThe answer is S3's InitiateMultipartUploadResult."),
        ("store_part", "PUT", "Stores a part.\nThe answer has its `ETag`, and no content to speak of."),
        ("read_file", "GET", "Reads a file, whole or a range of it."),
    ] {
        let about = format!("{about} The address is presigned: use it as it was answered.");
        let mut call = calls.call(id, method, path, Right::Anybody, &about);
        match method {
            "POST" => call.operation.answers(200, Some(("application/xml", text()))),
            "PUT" => {
                call.operation.takes_as("application/octet-stream", bytes());
                let empty = call.document.schemas.answered::<Empty>().to_value();
                call.operation.answers(200, Some(("application/json", empty)));
            }
            _ => {
                call.operation.answers(200, Some(("application/octet-stream", bytes())));
                call.operation.answers(206, Some(("application/octet-stream", bytes())));
            }
        }
        // The storage's errors are those of S3.
        call.operation.fails_in("application/xml", text());
        call.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems;

    #[test]
    fn the_document_is_in_docs() {
        let text = format!("{:#}\n", document());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hub-openapi.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/hub-openapi.json is old: run `UPDATE_DOCS=1 cargo test -p masv-openapi`");
    }

    #[test]
    fn generators_of_clients_understand_it() {
        assert_eq!(problems(&document()), Vec::<String>::new());
    }
}
