//! Text: an expression whose value is wanted as a text, to tell messages apart by.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use cel::Env;
use lockgate_plugin::{Message, Needs};

use crate::compile::{CompiledValue, compile_value};
use crate::decimal::double_text;
use crate::eval::{Frame, Stop, Value, value};
use crate::paths::Paths;
use crate::{CompileError, EvalError};

/// One expression; its value is a text, a number or a boolean.
pub struct Text {
    compiled: CompiledValue,
    paths: Paths,
    env: OnceCell<Arc<Env>>,
}

impl Text {
    /// Compiles an expression.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        let mut paths = Paths::new();
        let compiled = compile_value(source, &mut paths)?;
        Ok(Self { compiled, paths, env: OnceCell::new() })
    }

    /// The parts of a message that the expression reads.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.compiled.whole.reads().add_to(&mut needs);
        needs
    }

    /// The value for this message, a boolean as it is written, a number in one form whatever it is
    /// written as: `7`, `7.0`, `70e-1` and `"7"` are one. Numbers that differ have texts that differ.
    ///
    /// # Errors
    /// Why there is none; [`EvalError::Type`] for `null`, bytes, lists and maps.
    pub fn eval<'a>(&'a self, message: &Message<'a>) -> Result<Cow<'a, str>, EvalError> {
        let frame = Frame::new(*message, &self.paths, &self.env);
        let compact = match &self.compiled.node {
            Some(node) => value(node, &frame),
            None => Err(Stop::Interpret),
        };
        match compact {
            Ok(Value::Str(text)) => Ok(text),
            Ok(Value::Int(number)) => Ok(number.to_string().into()),
            Ok(Value::Uint(number)) => Ok(number.to_string().into()),
            Ok(Value::Double(number)) => double_text(number).map(Cow::Owned),
            Ok(Value::Decimal(number)) => number.text().map(Cow::Owned),
            Ok(Value::Bool(truth)) => Ok(truth.to_string().into()),
            Ok(_) => Err(EvalError::Type),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Interpret) => self.compiled.whole.text(&frame).map(Cow::Owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_plugin::testing::MessageBuilder;
    use lockgate_plugin::{Property, Value};

    use super::*;

    #[track_caller]
    fn check(source: &str, expected: Result<&str, EvalError>) {
        let text = Text::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let message = MessageBuilder::new()
            .routing_key("order.eu")
            .property(Property::MessageId, "m-1")
            .header("x-n", Value::U16(9))
            .header("x-rate", Value::Decimal { scale: 1, value: 1 })
            .body(
                r#"{"id":7,"name":"Zo\u00eb","big":18446744073709551615,"rate":1.5,"ok":true,
                "none":null,"lines":[{"id":"a"},{"id":"b"}]}"#,
            );
        let view = message.view();
        assert_eq!(text.eval(&view).as_deref(), expected.as_ref().map(|text| *text), "{source}");
    }

    #[test]
    fn values_become_texts() {
        check("body.id", Ok("7"));
        check("body.name", Ok("Zoë"));
        check("body.big", Ok("18446744073709551615"));
        check("body.rate", Ok("1.5"));
        check("headers['x-rate']", Ok("0.1"));
        check("body.ok", Ok("true"));
        check("properties.message_id", Ok("m-1"));
        check("headers['x-n']", Ok("9"));
        check("routing_key + '/' + body.name", Ok("order.eu/Zoë"));
        check("body.lines[1].id", Ok("b"));
        check("body.id > 5 ? 'large' : 'small'", Ok("large"));
        // By the interpreter.
        check("string(body.id) + '-' + body.lines[0].id", Ok("7-a"));
        check("body.lines.map(line, line.id).join('+')", Ok("a+b"));
        check("size(body.lines.map(line, line.id))", Ok("2"));
    }

    /// Each line is one number, written in several ways, and differs from the others.
    #[test]
    fn equal_numbers_are_one_text_and_others_are_not() {
        let numbers = [
            &["18446744073709551615"][..],
            &["18446744073709551616", "18446744073709551616.0", "1844674407370955161.6e1"],
            &["18446744073709551617"],
            &["18446744073709552000"],
            &["-9223372036854775808"],
            &["-9223372036854775809"],
            &["9007199254740992", "9007199254740992.0"],
            &["9007199254740993", "9007199254740993.0"],
            &["1", "1.0", "1e0", "10e-1", "0.1E+1"],
            &["0", "-0", "0.0", "-0e9"],
            &["0.1", "1e-1", "0.10"],
            &["0.10000000000000000001"],
            &["100000000000000000000000", "1e23"],
            &["1e400", "10e399"],
            &["1e-400"],
        ];
        let mut seen: Vec<String> = Vec::new();
        // The second expression is one for the interpreter.
        for source in ["body.n", "[body.n].map(n, n)[0]", "string(body.n)"] {
            let key = Text::compile(source).ok().unwrap();
            for (at, ways) in numbers.iter().enumerate() {
                for written in *ways {
                    let message = MessageBuilder::new().body(format!("{{\"n\":{written}}}"));
                    let text = key.eval(&message.view()).unwrap().into_owned();
                    let known = seen.iter().position(|known| *known == text);
                    assert_eq!(known.unwrap_or(at), at, "{source} {written} {text}");
                    if seen.len() == at {
                        seen.push(text);
                    }
                }
            }
        }
        assert_eq!(seen.len(), numbers.len());
    }

    #[test]
    fn what_is_no_text_has_no_answer() {
        check("body.missing", Err(EvalError::Missing));
        check("headers.missing", Err(EvalError::Missing));
        check("body.none", Err(EvalError::Type));
        check("body.lines", Err(EvalError::Type));
        check("body.lines.map(line, line.id)", Err(EvalError::Type));
        check("body.name + 1", Err(EvalError::Type));
    }
}
