use stanchion_core::{Page, PageRequest, Scope, SystemScope};

use crate::{ChainId, Entry, Error, Ledger, Place, Query, RetentionClass};

/// So many scopes are looked through before a page ends, found or not.
const LOOKED_THROUGH: usize = 256;
/// So many chains are listed at once.
const CHAINS: usize = 256;

/// Where a page across scopes begins.
struct Start {
    scope: Scope,
    /// Before this place in the scope; after the whole scope, when it is not set.
    before: Option<Place>,
}

impl Ledger {
    /// Returns the entries of all scopes that a query asks for: one scope after the other in the order of their ids, the platform
    /// first, and of each the newest first. A page ends after so and so many scopes, so it may have fewer entries than asked for, or
    /// none, and still be followed by another.
    ///
    /// Who is let read across tenants has to be on record; that is the caller's to do, who knows them.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_across(
        &self,
        system: SystemScope,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Entry>, Error> {
        let start = page.key().map(start).transpose()?;
        let mut items = Vec::new();
        let mut done = None;
        if let Some(Start { scope, before }) = start {
            if before.is_some()
                && let Some(next) = self.add(scope, query, before, page.limit(), &mut items).await?
            {
                return Ok(Page { items, next: Some(next) });
            }
            done = Some(scope);
        }
        let mut looked = 0;
        loop {
            let after = done.map(|scope| ChainId { scope, class: RetentionClass::Standard });
            let chains = self.shared().store.list(system, after, CHAINS).await?;
            if chains.is_empty() {
                return Ok(Page { items, next: None });
            }
            for chain in chains {
                let scope = chain.id.scope;
                if done == Some(scope) {
                    continue;
                }
                if items.len() == page.limit() || looked == LOOKED_THROUGH {
                    return Ok(Page { items, next: done.map(|scope| format!("{scope}/")) });
                }
                looked += 1;
                if let Some(next) = self.add(scope, query, None, page.limit(), &mut items).await? {
                    return Ok(Page { items, next: Some(next) });
                }
                done = Some(scope);
            }
        }
    }

    /// Adds the entries of one scope, until there are `limit`; returns where to go on if there are more.
    async fn add(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
        items: &mut Vec<Entry>,
    ) -> Result<Option<String>, Error> {
        let wanted = limit.saturating_sub(items.len()).max(1);
        let mut part = PageRequest::first(wanted);
        if let Some(before) = before {
            part = part.after(before.to_string());
        }
        let found = self.query(scope, query, &part).await?;
        items.extend(found.items);
        Ok(found.next.map(|place| format!("{scope}/{place}")))
    }
}

fn start(key: &str) -> Result<Start, Error> {
    let (scope, place) = key.split_once('/').ok_or(Error::InvalidPageKey)?;
    let scope = scope.parse().map_err(|_| Error::InvalidPageKey)?;
    let before = if place.is_empty() { None } else { Some(place.parse()?) };
    Ok(Start { scope, before })
}
