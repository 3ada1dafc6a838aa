//! JSON Schemas of what stands in configurations: the feature `schema`.

/// Gives types that are written as text a JSON Schema: `text_schema!(Slug, "1 to 64 of …");`.
///
/// Without the feature `schema` of this crate it does nothing, so a crate may use it whether or not it has such a feature itself.
#[cfg(feature = "schema")]
#[macro_export]
macro_rules! text_schema {
    ($name:ident, $rule:literal) => {
        impl $crate::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                $crate::schemars::json_schema!({ "type": "string", "description": $rule })
            }
        }
    };
}

/// Gives types that are written as text a JSON Schema, once the feature `schema` is on; now it does nothing.
#[cfg(not(feature = "schema"))]
#[macro_export]
macro_rules! text_schema {
    ($name:ident, $rule:literal) => {};
}
