use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::cli::{Cli, Command};

/// Writes what a command line asks of the API, one line for each of its parts.
fn asks(line: &str) -> String {
    let arguments = line.split(' ').map(|argument| argument.replace('_', " "));
    let cli = Cli::try_parse_from(std::iter::once("stanchion".to_owned()).chain(arguments)).unwrap();
    let plan: Plan = match cli.command {
        Command::Tenant(command) => command.into(),
        Command::Key(command) => command.into(),
        Command::Role(command) => command.into(),
        Command::Assign(command) => command.into(),
        Command::Grant(command) => command.into(),
        Command::Deny(command) => command.into(),
        Command::Group(command) => command.into(),
        Command::Separation(command) => command.into(),
        Command::Session(command) => command.into(),
        Command::Permission(command) => command.into(),
        Command::Access(command) => command.into(),
        Command::Limit(command) => command.into(),
        Command::Usage(command) => Plan::usage(command, "2026-11"),
        Command::Audit(command) => command.into(),
        other => panic!("{other:?} asks nothing"),
    };
    let environment = [("STANCHION_KEY", "stn_live_x")].into_iter().collect();
    let uri =
        Connection::new(&plan, &environment).unwrap().uri(&plan.request, plan.tenant.as_deref()).unwrap();
    let body = plan.request.body.map(|body| format!(" {body}")).unwrap_or_default();
    let guard =
        if plan.request.guard == Guard::None { String::new() } else { format!(" {:?}", plan.request.guard) };
    format!("{} {}{body}{guard}", plan.request.method, uri.path_and_query().unwrap())
}

#[test]
fn each_command_asks_what_it_says() {
    let lines = [
        "tenant list",
        "tenant show acme",
        "tenant create acme --name Acme_&_Co.",
        "tenant update acme --tier premium",
        "tenant suspend acme --reason unpaid",
        "tenant resume acme --reason paid",
        "key list --tenant acme",
        "key create --subject user:a --name n --cidr 10.0.0.0/8",
        "key rotate 7 --grace 0",
        "key revoke ../tenants?x",
        "role put e --name E --permission a:b --permission c:* --include v",
        "role put e --name E --exclude a:d --ceiling team --constraint owner_only --require r --max-holders 3 --metadata k=v --inactive",
        "role put e --name E --permission a:b --dry-run",
        "role apply back-office --replace",
        "role apply back-office --prefix shop- --dry-run",
        "assign list --subject user:a",
        "assign create user:a e --reason why",
        "assign create group:g e --resource folder/7 --dry-run",
        "assign delete user:a e",
        "grant put user:a p:q --emergency --reason why --expires-at T",
        "grant approve user:a p:q --resource p/1",
        "grant revoke user:a p:q",
        "deny put user:a p:* --resource p/1",
        "deny lift user:a p:* --dry-run",
        "group add group:g user:a",
        "separation put s --name S --role a --role b --dynamic",
        "session create user:a --role r --minutes 5",
        "session drop 7 r",
        "permission list --resource role",
        "permission validate a:b c:d",
        "access check user:a x:y --tenant platform",
        "access check user:a d:read --resource d/42 --inside f/7 --inside f/1 --owner user:b --attribute level=3 --of-team t",
        "access explain user:a x:y --session 7",
        "access who-can x:y --resource x/1",
        "access who-can x:y --most 5 --after user:a",
        "access what-can user:a",
        "access plan user:a x:y --with region=eu",
        "access attempts --outcome denied",
        "access stats",
        "limit put l --by user,ip --limit 5 --window 1m --route r",
        "limit put l --by user --limit 5 --window 1m --action captcha --rung 5=block --when method=GET,HEAD --when host=h",
        "limit reset l --tenant acme",
        "limit reset --caller user:a_ip:10.0.0.1",
        "limit reset --all",
        "limit explain --subject user:a --route r --attribute method=GET",
        "limit override list",
        "limit override put l user:a --limit 7 --reason why",
        "limit override delete l user:a",
        "limit quarantine put ip:10.0.0.1 --seconds 60",
        "limit quarantine lift ip:10.0.0.1",
        "usage show",
        "usage show --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --meter m",
        "audit query --request 7 --outcome denied",
        "audit query --severity high --proofs",
        "audit tail --lines 3 --tenant acme",
        "audit actions",
        "audit verify --tenant acme",
        "audit checkpoints --tenant acme",
        "audit retention --tenant acme",
        "audit archive",
        "audit hold put --scope platform --reason why --class security",
        "audit hold list --scope platform",
        "audit hold lift 7 --scope platform",
        "audit prove 7 --tenant acme",
        "audit export --format ocsf --out f",
        "audit export --class security --since 2026-11-01T00:00:00Z --tenant acme --out f",
        "audit query --unseal",
        "audit find details.email a@b --unseal --tenant acme",
        "audit erase user:alice --reason case-7 --tenant acme",
        "audit erasure 0192 --tenant acme",
        "audit exception list",
        "audit exception put c --field details.email --basis archiving --until T --reason r --tenant acme",
        "audit exception lift c --tenant acme",
    ];
    let all: Vec<String> = lines.iter().map(|line| format!("{line}\n    {}", asks(line))).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    tenant list
        GET /v1/tenants
    tenant show acme
        GET /v1/tenants/acme
    tenant create acme --name Acme_&_Co.
        POST /v1/tenants {"name":"Acme & Co.","slug":"acme","tier":"basic"}
    tenant update acme --tier premium
        PATCH /v1/tenants/acme {"tier":"premium"} Unchanged
    tenant suspend acme --reason unpaid
        POST /v1/tenants/acme/suspend {"reason":"unpaid"}
    tenant resume acme --reason paid
        POST /v1/tenants/acme/resume {"reason":"paid"}
    key list --tenant acme
        GET /v1/keys?tenant=acme
    key create --subject user:a --name n --cidr 10.0.0.0/8
        POST /v1/keys {"cidrs":["10.0.0.0/8"],"name":"n","subject":"user:a"}
    key rotate 7 --grace 0
        POST /v1/keys/7/rotate {"grace_seconds":0}
    key revoke ../tenants?x
        DELETE /v1/keys/..%2Ftenants%3Fx
    role put e --name E --permission a:b --permission c:* --include v
        PUT /v1/roles/e {"includes":["v"],"name":"E","permissions":["a:b","c:*"]} UnchangedOrAbsent
    role put e --name E --exclude a:d --ceiling team --constraint owner_only --require r --max-holders 3 --metadata k=v --inactive
        PUT /v1/roles/e {"active":false,"ceiling":"team","constraints":[{"rule":"owner only"}],"excludes":["a:d"],"max_holders":3,"metadata":{"k":"v"},"name":"E","requires":["r"]} UnchangedOrAbsent
    role put e --name E --permission a:b --dry-run
        POST /v1/access/preview {"changes":[{"put_role":{"id":"e","role":{"name":"E","permissions":["a:b"]}}}]}
    role apply back-office --replace
        POST /v1/access/presets {"dry_run":false,"name":"back-office","replace":true}
    role apply back-office --prefix shop- --dry-run
        POST /v1/access/presets {"dry_run":true,"name":"back-office","prefix":"shop-","replace":false}
    assign list --subject user:a
        GET /v1/assignments?subject=user%3Aa
    assign create user:a e --reason why
        POST /v1/assignments {"reason":"why","role":"e","subject":"user:a"}
    assign create group:g e --resource folder/7 --dry-run
        POST /v1/access/preview {"changes":[{"assign":{"resource":"folder/7","role":"e","subject":"group:g"}}]}
    assign delete user:a e
        DELETE /v1/assignments?subject=user%3Aa&role=e
    grant put user:a p:q --emergency --reason why --expires-at T
        POST /v1/grants {"emergency":true,"expires_at":"T","permission":"p:q","reason":"why","subject":"user:a"}
    grant approve user:a p:q --resource p/1
        POST /v1/grants/approval?subject=user%3Aa&permission=p%3Aq&resource=p%2F1
    grant revoke user:a p:q
        DELETE /v1/grants?subject=user%3Aa&permission=p%3Aq
    deny put user:a p:* --resource p/1
        POST /v1/denials {"permission":"p:*","resource":"p/1","subject":"user:a"}
    deny lift user:a p:* --dry-run
        POST /v1/access/preview {"changes":[{"lift_denial":{"permission":"p:*","subject":"user:a"}}]}
    group add group:g user:a
        POST /v1/memberships {"group":"group:g","member":"user:a"}
    separation put s --name S --role a --role b --dynamic
        PUT /v1/separations/s {"at_most":1,"duty":"dynamic","name":"S","roles":["a","b"]}
    session create user:a --role r --minutes 5
        POST /v1/sessions {"minutes":5,"roles":["r"],"subject":"user:a"}
    session drop 7 r
        DELETE /v1/sessions/7/roles?role=r
    permission list --resource role
        GET /v1/permissions?resource=role
    permission validate a:b c:d
        POST /v1/permissions/validate {"permissions":["a:b","c:d"]}
    access check user:a x:y --tenant platform
        POST /v1/access/check?tenant=platform {"permission":"x:y","subject":"user:a"}
    access check user:a d:read --resource d/42 --inside f/7 --inside f/1 --owner user:b --attribute level=3 --of-team t
        POST /v1/access/check {"permission":"d:read","profile":{"teams":["t"]},"resource":{"attributes":{"level":3},"id":"42","owner":"user:b","parent":{"id":"7","parent":{"id":"1","type":"f"},"type":"f"},"type":"d"},"subject":"user:a"}
    access explain user:a x:y --session 7
        POST /v1/access/explain {"permission":"x:y","session":"7","subject":"user:a"}
    access who-can x:y --resource x/1
        POST /v1/access/who-can {"most":1000,"permission":"x:y","resource":{"id":"1","type":"x"}}
    access who-can x:y --most 5 --after user:a
        POST /v1/access/who-can {"after":"user:a","most":5,"permission":"x:y"}
    access what-can user:a
        POST /v1/access/what-can {"subject":"user:a"}
    access plan user:a x:y --with region=eu
        POST /v1/access/plan {"permission":"x:y","profile":{"attributes":{"region":"eu"}},"subject":"user:a"}
    access attempts --outcome denied
        GET /v1/access/attempts?outcome=denied&limit=100
    access stats
        GET /v1/access/statistics
    limit put l --by user,ip --limit 5 --window 1m --route r
        PUT /v1/limits/l {"action":"block","algorithm":"token_bucket","burst":"0","conditions":[],"key":["user","ip"],"labels":[],"ladder":[],"limit":"5","routes":["r"],"shadow":false,"window":"1m"} UnchangedOrAbsent
    limit put l --by user --limit 5 --window 1m --action captcha --rung 5=block --when method=GET,HEAD --when host=h
        PUT /v1/limits/l {"action":"captcha","algorithm":"token_bucket","burst":"0","conditions":[{"attribute":"method","one_of":["GET","HEAD"]},{"attribute":"host","equals":"h"}],"key":["user"],"labels":[],"ladder":[{"action":"block","violations":5}],"limit":"5","routes":[],"shadow":false,"window":"1m"} UnchangedOrAbsent
    limit reset l --tenant acme
        POST /v1/limits/reset?tenant=acme {"limit":"l"}
    limit reset --caller user:a_ip:10.0.0.1
        POST /v1/limits/reset {"identifiers":"user:a ip:10.0.0.1"}
    limit reset --all
        POST /v1/limits/reset {"all":true}
    limit explain --subject user:a --route r --attribute method=GET
        POST /v1/limits/explain {"attributes":{"method":"GET"},"cost":"1","route":"r","subject":"user:a"}
    limit override list
        GET /v1/limits/overrides
    limit override put l user:a --limit 7 --reason why
        POST /v1/limits/overrides {"burst":"0","identifiers":"user:a","limit":"7","limit_id":"l","reason":"why"}
    limit override delete l user:a
        DELETE /v1/limits/overrides?limit_id=l&identifiers=user%3Aa
    limit quarantine put ip:10.0.0.1 --seconds 60
        POST /v1/limits/quarantines {"identifiers":"ip:10.0.0.1","seconds":60}
    limit quarantine lift ip:10.0.0.1
        DELETE /v1/limits/quarantines?identifiers=ip%3A10.0.0.1
    usage show
        GET /v1/usage?period=2026-11
    usage show --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --meter m
        GET /v1/usage?from=2026-11-01T00%3A00%3A00Z&to=2026-11-02T00%3A00%3A00Z&meter=m
    audit query --request 7 --outcome denied
        GET /v1/audit/events?outcome=denied&request=7
    audit query --severity high --proofs
        GET /v1/audit/events?severity=high&proofs=true
    audit tail --lines 3 --tenant acme
        GET /v1/audit/tail?limit=3&tenant=acme
    audit actions
        GET /v1/audit/actions
    audit verify --tenant acme
        GET /v1/audit/verification?tenant=acme
    audit checkpoints --tenant acme
        GET /v1/audit/checkpoints?tenant=acme
    audit retention --tenant acme
        GET /v1/audit/retention?tenant=acme
    audit archive
        POST /v1/audit/retention
    audit hold put --scope platform --reason why --class security
        POST /v1/audit/holds {"class":"security","reason":"why","scope":"platform"}
    audit hold list --scope platform
        GET /v1/audit/holds?scope=platform
    audit hold lift 7 --scope platform
        DELETE /v1/audit/holds?scope=platform&id=7
    audit prove 7 --tenant acme
        GET /v1/audit/proofs/inclusion?event=7&tenant=acme
    audit export --format ocsf --out f
        GET /v1/audit/export?format=ocsf
    audit export --class security --since 2026-11-01T00:00:00Z --tenant acme --out f
        GET /v1/audit/export?class=security&since=2026-11-01T00%3A00%3A00Z&tenant=acme
    audit query --unseal
        GET /v1/audit/events?unseal=true
    audit find details.email a@b --unseal --tenant acme
        POST /v1/audit/search?limit=100&tenant=acme {"field":"details.email","unseal":true,"value":"a@b"}
    audit erase user:alice --reason case-7 --tenant acme
        POST /v1/audit/erasures?tenant=acme {"reason":"case-7","subject":"user:alice"}
    audit erasure 0192 --tenant acme
        GET /v1/audit/erasures/0192?tenant=acme
    audit exception list
        GET /v1/audit/exceptions
    audit exception put c --field details.email --basis archiving --until T --reason r --tenant acme
        POST /v1/audit/exceptions?tenant=acme {"basis":"archiving","field":"details.email","id":"c","reason":"r","until":"T"}
    audit exception lift c --tenant acme
        DELETE /v1/audit/exceptions?id=c&tenant=acme
    "#);
}

#[test]
fn a_refusal_is_told_with_its_detail_and_exit_code() {
    let answer = |status: u16, body: Value| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: http::HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    };
    let problem = json!({
        "title": "This is not permitted",
        "code": "forbidden",
        "detail": "`user:bob` lacks the permission `key:write`",
        "request_id": "0192f0c1-2345-7abc-8def-0123456789ab",
    });
    let mut written = Vec::new();
    refused(&answer(403, problem)).write(&mut written).unwrap();
    insta::assert_snapshot!(String::from_utf8(written).unwrap(), @r"
    stanchion: This is not permitted (forbidden)
      `user:bob` lacks the permission `key:write`
      request 0192f0c1-2345-7abc-8def-0123456789ab
    ");
    for (status, exit) in
        [(400, Exit::Input), (403, Exit::No), (404, Exit::No), (409, Exit::Input), (503, Exit::Unreachable)]
    {
        assert_eq!(
            refused(&answer(status, json!({}))).exit_code(),
            Failure::new(exit, "").exit_code(),
            "{status}"
        );
    }
}

#[test]
fn an_answer_can_be_no() {
    let plan_view = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
        Command::Access(command) => Plan::from(command).view,
        Command::Audit(command) => Plan::from(command).view,
        other => panic!("{other:?}"),
    };
    let check = plan_view("stanchion access check user:a x:y");
    assert_eq!(check.says(&json!({ "allowed": true })), Says::Yes);
    assert_eq!(check.says(&json!({ "allowed": false })), Says::No);
    let verify = plan_view("stanchion audit verify");
    let broken = json!({
        "intact": false,
        "entries": "0",
        "chains": [{ "chain": "platform/security", "intact": false, "entries": null, "head": null }],
        "first_break": { "chain": "platform/security", "sequence": "7", "detail": "the link does not fit" },
    });
    assert_eq!(verify.says(&broken), Says::No);
    insta::assert_snapshot!(verify.text(&broken), @r"
    CHAIN     INTACT
    security  false

    broken: platform/security at entry 7: the link does not fit
    ");
    assert_eq!(verify.says(&json!({})), Says::No, "what does not say that it is intact is not");
}

#[test]
fn usage_is_shown_with_its_price() {
    let Command::Usage(command) = Cli::try_parse_from(["stanchion", "usage", "show"]).unwrap().command else {
        panic!()
    };
    let report = json!({
        "from": "2026-11-01T00:00:00.000000Z",
        "to": "2026-12-01T00:00:00.000000Z",
        "usage": [
            { "meter": "api.bytes", "quantity": "4096", "events": "4" },
            { "meter": "api.calls", "quantity": "4", "events": "4" },
        ],
        "cost": {
            "currency": "USD",
            "lines": [{ "meter": "api.calls", "quantity": "4", "price": "0.25 USD per call", "amount": "1.00" }],
            "unpriced": ["api.bytes"],
            "total": "1.00",
        },
    });
    insta::assert_snapshot!(Plan::usage(command, "2026-11").view.text(&report), @r"
    from 2026-11-01T00:00:00Z until 2026-12-01T00:00:00Z

    METER      QUANTITY  PRICE              AMOUNT
    api.calls  4         0.25 USD per call  1.00
    api.bytes: 4096, without a price

    total 1.00 USD
    ");
}

#[test]
fn a_limit_that_is_given_out_in_chunks_says_how_exact_it_is() {
    let line = ["stanchion", "limit", "explain"];
    let Command::Limit(command) = Cli::try_parse_from(line).unwrap().command else { panic!() };
    let state = |limit: &str, overshoot: &str| {
        json!({
            "limit_id": limit, "scope": "platform", "stage": "inner", "limit": "6000", "remaining": "5990",
            "overshoot": overshoot, "window_seconds": "60", "reset_after_ms": "100", "exceeded": false,
            "shadow": false, "action": "block",
        })
    };
    let report = json!({
        "admitted": true, "delay_ms": "0", "action": null, "reason": null, "limit_id": null, "retry_after_ms": null,
        "limits": [state("exact", "0"), state("in-chunks", "30")],
    });
    insta::assert_snapshot!(Plan::from(command).view.text(&report), @r"
    admitted

    LIMIT      STAGE  LEFT  OF    EXCEEDED  ACTION
    exact      inner  5990  6000  false     block
    in-chunks  inner  5990  6000  false     block

    in-chunks: with its lease, up to 30 more by all replicas together
    ");
}
