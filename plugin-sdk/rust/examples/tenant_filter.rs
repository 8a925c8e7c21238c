//! A whole plugin: keeps the messages of some tenants, marks what it keeps, and tells why it
//! drops the rest. Its tests run natively with `cargo test`.

use lockgate_plugin::{
    Delta, Description, Headers, Init, Message, Needs, Plugin, Reason, SettingError, Value, Verdict,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Tenants to keep.
    tenants: Vec<String>,
    /// A header to set on what is kept.
    mark: Option<String>,
}

struct TenantFilter(Settings);

const NO_TENANT: Reason = Reason(1);
const OTHER_TENANT: Reason = Reason(2);

impl Plugin for TenantFilter {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("tenant-filter", env!("CARGO_PKG_VERSION"))
        .reasons(&["no_tenant", "other_tenant"])
        .schema(
            r#"{"type":"object","required":["tenants"],"additionalProperties":false,"properties":{
"tenants":{"type":"array","items":{"type":"string"},"minItems":1},"mark":{"type":"string"}}}"#,
        );

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        if settings.tenants.is_empty() {
            return Err(vec![SettingError::at("/tenants", "name at least one tenant")]);
        }
        let headers = Headers::Names(vec!["x-tenant".to_owned()]);
        let init = Init { needs: Needs { headers, ..Needs::default() }, ..Init::default() };
        Ok((Self(settings), init))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let Some(tenant) = message.header("x-tenant").and_then(|value| value.as_str()) else {
            return Verdict::Drop(NO_TENANT);
        };
        if !self.0.tenants.iter().any(|known| known == tenant) {
            return Verdict::Drop(OTHER_TENANT);
        }
        match &self.0.mark {
            None => Verdict::Pass,
            Some(mark) => {
                let mut delta = Delta::new();
                delta.header(mark, Value::Bool(true));
                Verdict::Modify(delta)
            }
        }
    }
}

lockgate_plugin::export!(TenantFilter);

#[cfg(test)]
mod tests {
    use lockgate_plugin::Change;
    use lockgate_plugin::testing::{MessageBuilder, run};

    use super::*;

    fn check(tenant: Option<&str>, expected: Verdict) {
        let mut message = MessageBuilder::new().body("not asked for");
        if let Some(tenant) = tenant {
            message = message.header("x-tenant", tenant.into());
        }
        let verdict = run::<TenantFilter>(r#"{"tenants":["acme","beta"]}"#, &message);
        assert_eq!(verdict, Ok(expected));
    }

    #[test]
    fn keeps_its_tenants() {
        check(Some("beta"), Verdict::Pass);
        check(Some("other"), Verdict::Drop(OTHER_TENANT));
        check(None, Verdict::Drop(NO_TENANT));
    }

    #[test]
    fn marks_what_it_keeps() {
        let message = MessageBuilder::new().header("x-tenant", "acme".into());
        let settings = r#"{"tenants":["acme"],"mark":"x-kept"}"#;
        let Ok(Verdict::Modify(delta)) = run::<TenantFilter>(settings, &message) else { panic!() };
        assert!(delta.changes().eq([Change::Header("x-kept", Value::Bool(true))]));
    }

    #[test]
    fn says_which_setting_is_wrong() {
        for (settings, pointer) in [
            (r#"{"tenants":[]}"#, "/tenants"),
            (r#"{"tenants":["a",1]}"#, "/tenants/1"),
            (r#"{"tenants":["a"],"marc":"x"}"#, "/marc"),
            ("{}", ""),
        ] {
            let errors = run::<TenantFilter>(settings, &MessageBuilder::new()).unwrap_err();
            assert_eq!(errors[0].pointer, pointer, "{settings}: {}", errors[0].message);
        }
    }
}
