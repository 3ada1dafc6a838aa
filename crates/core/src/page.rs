/// Which part of a list to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    after: Option<String>,
    limit: usize,
}

impl PageRequest {
    /// The most items a page may have.
    pub const MAX_LIMIT: usize = 1000;

    /// Asks for the first `limit` items; the limit is brought into 1 to [`PageRequest::MAX_LIMIT`].
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit: limit.clamp(1, Self::MAX_LIMIT) }
    }

    /// Asks for the items that come after the sort key `after`.
    #[must_use]
    pub fn after(self, after: impl Into<String>) -> Self {
        Self { after: Some(after.into()), ..self }
    }

    /// Returns the sort key of the last item already seen.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Returns the most items wanted, 1 to [`PageRequest::MAX_LIMIT`].
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

/// A part of a list, in the order of a sort key that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The sort key of the last item, when there are more.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page out of items that are sorted by `key`.
    pub fn cut<'a>(
        sorted: impl Iterator<Item = &'a T>,
        request: &PageRequest,
        key: impl Fn(&T) -> String,
    ) -> Self
    where
        T: Clone + 'a,
    {
        let mut rest = sorted.filter(|item| request.key().is_none_or(|after| key(item).as_str() > after));
        let items: Vec<T> = rest.by_ref().take(request.limit()).cloned().collect();
        let next = if rest.next().is_some() { items.last().map(key) } else { None };
        Self { items, next }
    }

    /// Changes every item.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once() {
        let all: Vec<String> = (b'a'..=b'g').map(|letter| char::from(letter).to_string()).collect();
        let mut request = PageRequest::first(3);
        let mut seen = Vec::new();
        loop {
            let page = Page::cut(all.iter(), &request, String::clone);
            seen.extend(page.items);
            match page.next {
                Some(next) => request = request.after(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
        assert_eq!(Page::cut(all.iter(), &PageRequest::first(7), String::clone).next, None);
    }
}
