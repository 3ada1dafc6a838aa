use http::Method;

use super::{Plan, Request};
use crate::admin::view::View;
use crate::admin::what::Usage;

impl Plan {
    /// Makes the plan of a command on usage; `month` is the one that is meant when none is named.
    pub(crate) fn usage(command: Usage, month: &str) -> Self {
        let Usage::Show { period, from, to, meter, scoped } = command;
        let period = if from.is_some() { None } else { Some(period.unwrap_or_else(|| month.to_owned())) };
        Request::all(Method::GET, "usage")
            .asking("period", period)
            .asking("from", from)
            .asking("to", to)
            .asking("meter", meter)
            .shown(scoped, View::Usage)
    }
}
