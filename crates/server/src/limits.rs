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
