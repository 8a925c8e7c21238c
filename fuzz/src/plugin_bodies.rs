//! Messages come with any body to the shipped plugins, natively: each gives one verdict, without a
//! panic, and it reads back from its bytes. A test of the engine does the same in the sandbox.

use std::cell::RefCell;

use lockgate_plugin::Plugin;
use lockgate_plugin::testing::{MessageBuilder, Session};

struct Sessions {
    filter: Session<filter::Filter>,
    route: Session<route::Router>,
    spam: Session<spam_check::SpamCheck>,
    transform: Session<transform::Transform>,
}

thread_local! {
    static SESSIONS: RefCell<Sessions> = RefCell::new(Sessions {
        filter: open(r#"{"when": "body.a == 1 || body.text.contains('b') || size(body.l) > 1"}"#),
        route: open(
            r#"{"rules": [{"when": "body.region == 'EU'", "to": ["eu"]},
                {"when": "body == null", "to": ["odd"]}], "otherwise": ["rest"]}"#,
        ),
        spam: open(r#"{"text": "body.text"}"#),
        transform: open(r#"{"jq": "{a, l: [.l[]?], n: (.a | tostring)}"}"#),
    });
}

fn open<P: Plugin>(settings: &str) -> Session<P> {
    Session::open(settings).unwrap_or_else(|errors| panic!("settings: {errors:?}"))
}

pub fn run(data: &[u8]) {
    let message = MessageBuilder::new().body(data);
    SESSIONS.with_borrow_mut(|sessions| {
        sessions.filter.handle(&message);
        sessions.route.handle(&message);
        sessions.spam.handle(&message);
        sessions.transform.handle(&message);
    });
}
