use super::*;

fn tenant() -> TenantId {
    "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap()
}

fn wrong(config: &RetentionConfig) -> Vec<String> {
    config.validate().err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn with(standards: impl IntoIterator<Item = Standard>) -> RetentionConfig {
    RetentionConfig { standards: standards.into_iter().collect(), ..RetentionConfig::default() }
}

#[test]
fn the_defaults_are_seven_three_and_one_years_and_meet_no_floor_but_their_own() {
    let config = RetentionConfig::default();
    assert_eq!(wrong(&config), [""; 0]);
    let kept = RetentionClass::ALL
        .map(|class| config.term(ChainId { scope: Scope::Platform, class }, false).kept_days);
    assert_eq!(kept, [2_557, 1_096, 366]);
    assert_eq!(wrong(&with([Standard::PciDss])), [""; 0]);
}

#[test]
fn a_time_below_a_floor_is_refused_with_the_standard_the_floor_and_the_key() {
    // Three years for access to data are the seeds'; HIPAA asks for six.
    assert_eq!(
        wrong(&with([Standard::Hipaa])),
        ["`data_access_days` is 1096 days, but HIPAA asks for at least 2192 of data_access entries"]
    );
    let short = RetentionConfig { standard_days: 90, ..with([Standard::PciDss]) };
    assert_eq!(
        wrong(&short),
        ["`standard_days` is 90 days, but PCI DSS asks for at least 366 of standard entries"]
    );
    let offline = RetentionConfig { online_days: Some(91), ..with([Standard::PciDss]) };
    let line = "`online_days` is 91 days, but PCI DSS asks for at least 92 of security entries";
    assert_eq!(wrong(&offline), [line], "once, however many classes it is below the floor of");
}

#[test]
fn an_operators_own_shorter_time_holds_where_no_floor_forbids_it() {
    let config = RetentionConfig { standard_days: 90, ..with([Standard::Hipaa]) };
    let config = RetentionConfig { data_access_days: 2_192, ..config };
    assert_eq!(wrong(&config), [""; 0]);
    let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
    assert_eq!(config.term(chain, true), Term { kept_days: 90, online_days: 90 });
}

#[test]
fn a_tenant_has_its_own_times_and_standards_on_top_of_the_common_ones() {
    let own = TenantRetention { standard_days: Some(30), ..TenantRetention::default() };
    let mut config = RetentionConfig::default();
    config.tenants.insert(tenant(), own.clone());
    let chain = ChainId { scope: Scope::Tenant(tenant()), class: RetentionClass::Standard };
    assert_eq!(config.term(chain, false).kept_days, 30);
    assert_eq!(config.term(ChainId { scope: Scope::Platform, ..chain }, false).kept_days, 366);
    config.standards.insert(Standard::PciDss);
    let key = format!("`tenants.{}.standard_days` is 30 days, but PCI DSS", tenant());
    assert!(wrong(&config)[0].starts_with(&key), "{:?}", wrong(&config));

    let hipaa = TenantRetention { standards: [Standard::Hipaa].into(), ..TenantRetention::default() };
    let config = RetentionConfig { tenants: [(tenant(), hipaa)].into(), ..RetentionConfig::default() };
    assert_eq!(wrong(&config).len(), 1, "the common three years are too short for this tenant");
}

#[test]
fn what_is_out_of_its_range_is_named() {
    let config = RetentionConfig {
        interval_seconds: 0,
        security_days: 0,
        online_days: Some(40_000),
        ..RetentionConfig::default()
    };
    let expected = ["`interval_seconds` must be 1 to 86400", "`online_days` must be 1 to 36525"];
    assert_eq!(wrong(&config)[..2], expected);
    assert_eq!(wrong(&config)[2], "`security_days` must be 1 to 36525");
}

#[test]
fn the_ends_of_ranges_are_within_and_what_is_next_to_them_is_not() {
    let with = |interval_seconds, days| {
        let own = TenantRetention { data_access_days: Some(days), ..TenantRetention::default() };
        let tenants = [(tenant(), own)].into();
        wrong(&RetentionConfig { interval_seconds, tenants, ..RetentionConfig::default() })
    };
    assert_eq!(with(1, 1), [""; 0]);
    assert_eq!(with(86_400, 36_525), [""; 0]);
    let days = format!("`tenants.{}.data_access_days` must be 1 to 36525", tenant());
    let interval = "`interval_seconds` must be 1 to 86400";
    assert_eq!(with(86_401, 36_526), [interval, &days]);
    assert_eq!(with(0, 0), [interval, &days]);
}

#[test]
fn of_several_floors_the_highest_is_told_whatever_their_order() {
    let config =
        RetentionConfig { security_days: 100, ..with([Standard::Hipaa, Standard::PciDss, Standard::M2131]) };
    assert_eq!(
        wrong(&config)[0],
        "`security_days` is 100 days, but HIPAA asks for at least 2192 of security entries"
    );
}

#[test]
fn entries_do_not_stay_in_the_database_beyond_their_time() {
    let config = RetentionConfig { online_days: Some(1_000), ..RetentionConfig::default() };
    let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
    assert_eq!(config.term(chain, true), Term { kept_days: 366, online_days: 366 });
}

#[test]
fn an_archive_lets_entries_leave_the_database_earlier() {
    let config = RetentionConfig { online_days: Some(100), ..RetentionConfig::default() };
    let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
    assert_eq!(config.term(chain, false).online_days, 2_557);
    let term = config.term(chain, true);
    assert_eq!(term, Term { kept_days: 2_557, online_days: 100 });
    let now = Timestamp::from_micros(1_772_366_400_000_000);
    assert_eq!(now.since(term.online_since(now)), Duration::from_secs(100 * 86_400));
    assert_eq!(term.kept_until(now).since(now), Duration::from_secs(2_557 * 86_400));
}
