use stanchion_core::{Author, Scope};
use stanchion_ratelimit::{Engine, Error, Rule, RuleId};

/// Puts the platform's limits of a configuration in force, and takes those away that an earlier one had put there.
///
/// What is as it should be already is not written again. Limits that the admin API has put under other ids stay.
pub(crate) async fn apply(engine: &Engine, rules: &[Rule], before: &[RuleId]) -> Result<(), Error> {
    let author = Author::system("configuration");
    for rule in rules {
        let standing = engine.get_rule(Scope::Platform, &rule.id).await?;
        if standing.is_none_or(|standing| standing.value != *rule) {
            engine.put_rule(&author, Scope::Platform, rule.clone(), None).await?;
        }
    }
    for id in before.iter().filter(|id| rules.iter().all(|rule| rule.id != **id)) {
        match engine.delete_rule(&author, Scope::Platform, id, None).await {
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use stanchion_core::{ManualClock, PageRequest, SeededRandom};
    use stanchion_ratelimit::{Config, Dimension, MemoryCounterStore, MemoryRuleStore};

    fn engine() -> Engine {
        let clock = Arc::new(ManualClock::default());
        let counters = Arc::new(MemoryCounterStore::new(64, Arc::clone(&clock) as _));
        let rules = Arc::new(MemoryRuleStore::new(None));
        Engine::new(rules, counters, clock, Arc::new(SeededRandom::new(1)), Config::default())
    }

    fn rule(id: &str, limit: u64) -> Rule {
        Rule::new(id.parse().unwrap(), Dimension::Ip, limit, "1m".parse().unwrap())
    }

    async fn standing(engine: &Engine) -> Vec<(String, u64, u64)> {
        let page = engine.list_rules(Scope::Platform, &PageRequest::default()).await.unwrap();
        let rules = page.items.into_iter();
        rules.map(|rule| (rule.value.id.to_string(), rule.value.limit, rule.revision.number())).collect()
    }

    #[tokio::test]
    async fn limits_of_a_file_come_go_and_stay_as_the_file_does() {
        let engine = engine();
        let author = Author::system("admin");
        engine.put_rule(&author, Scope::Platform, rule("by-api", 1), None).await.unwrap();
        apply(&engine, &[rule("a", 1), rule("b", 1)], &[]).await.unwrap();
        let ids = [rule("a", 1).id, rule("b", 1).id];
        apply(&engine, &[rule("b", 1), rule("c", 1)], &ids).await.unwrap();
        let (b, c) = (("b".to_owned(), 1, 3), ("c".to_owned(), 1, 4));
        assert_eq!(
            standing(&engine).await,
            [b, ("by-api".to_owned(), 1, 1), c],
            "what has not changed is not written again, and what the file never had stays"
        );
        apply(&engine, &[rule("by-api", 9)], &[rule("b", 1).id, rule("gone", 1).id]).await.unwrap();
        let limits: Vec<u64> = standing(&engine).await.into_iter().map(|(_, limit, _)| limit).collect();
        assert_eq!(limits, [9, 1], "the file wins, and what is gone already is no error");
    }
}
