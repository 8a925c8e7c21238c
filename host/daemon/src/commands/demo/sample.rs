//! Sample orders, the same in every run.

use lockgate_message::{Head, Message, Properties};

const NOTES: &str = include_str!("../../../demo/notes.txt");
const REGIONS: [&str; 4] = ["EU", "US", "EU", "APAC"];
const ARTICLES: [(&str, f64); 5] =
    [("lamp", 39.9), ("desk", 249.0), ("chair", 119.5), ("rug", 79.0), ("vase", 24.95)];

/// What the demo made, to compare with what came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) orders: u64,
    /// Orders that are not paid.
    pub(crate) unpaid: u64,
    /// Paid orders whose note is spam.
    pub(crate) spam: u64,
    /// Messages that are no JSON.
    pub(crate) broken: u64,
}

/// Makes order after order.
pub(crate) struct Orders {
    /// A linear congruential generator (Knuth, MMIX): enough for sample data.
    random: u64,
    notes: Vec<(bool, &'static str)>,
    pub(crate) made: Made,
}

impl Orders {
    pub(crate) fn new() -> Self {
        let notes = NOTES.lines().filter_map(|line| {
            let (kind, note) = line.split_once(' ')?;
            match kind {
                "ham" => Some((false, note)),
                "spam" => Some((true, note)),
                _ => None,
            }
        });
        Self { random: 7, notes: notes.collect(), made: Made::default() }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) as usize) % below.max(1)
    }

    fn one_of<T: Copy + Default>(&mut self, of: &[T]) -> T {
        let at = self.pick(of.len());
        of.get(at).copied().unwrap_or_default()
    }

    /// The next order; about one in five is unpaid, one in twelve spam, one in five hundred broken.
    pub(crate) fn next(&mut self) -> Message {
        let number = self.made.orders;
        self.made.orders += 1;
        let properties = Properties {
            content_type: Some("application/json".to_owned()),
            message_id: Some(format!("order-{number}")),
            delivery_mode: Some(2),
            ..Properties::default()
        };
        let head = Head {
            exchange: "orders".to_owned(),
            routing_key: "order.new".to_owned(),
            properties,
            ..Head::default()
        };
        if self.pick(500) == 0 {
            self.made.broken += 1;
            return Message::new(head, format!("order {number}: the form was cut off at {{"));
        }
        let paid = self.pick(5) > 0;
        let wanted = self.pick(12) == 0;
        let (mut spam, mut note) = (false, "");
        // A few draws give one of the wanted kind; the notes file has both.
        for _ in 0..64 {
            let notes = std::mem::take(&mut self.notes);
            (spam, note) = self.one_of(&notes);
            self.notes = notes;
            if spam == wanted {
                break;
            }
        }
        self.made.unpaid += u64::from(!paid);
        self.made.spam += u64::from(paid && spam);
        let (article, price) = self.one_of(&ARTICLES);
        let body = serde_json::json!({
            "id": number,
            "status": if paid { "paid" } else { "open" },
            "customer": format!("customer-{}", self.pick(500)),
            "region": self.one_of(&REGIONS),
            "article": article,
            "price": price,
            "quantity": 1 + self.pick(4),
            "note": note,
        });
        Message::new(head, body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_the_same_in_every_run_and_of_every_kind() {
        let (mut one, mut other) = (Orders::new(), Orders::new());
        for _ in 0..2000 {
            assert_eq!(one.next(), other.next());
        }
        let Made { orders, unpaid, spam, broken } = one.made;
        assert_eq!(orders, 2000);
        assert!(unpaid > 200 && spam > 50 && broken > 0, "{:?}", one.made);
    }
}
