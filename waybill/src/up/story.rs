//! The story that `up` prints: lines to paste into a shell, each of which works as it stands.
//!
//! The end-to-end test runs these very lines; change them only together with the README.

use super::demo::Demo;

/// Everything the lines need to be complete.
pub struct Story<'a> {
    /// Base URL of the API.
    pub http_url: &'a str,
    /// The broker's URL.
    pub nats_url: &'a str,
    /// How this program is called.
    pub waybill: &'a str,
    /// Where this run keeps its data.
    pub data_dir: &'a str,
    /// A ready token.
    pub admin_token: &'a str,
    /// A ready token.
    pub customer_token: &'a str,
    /// How to sign in as the first admin.
    pub admin: &'a str,
    /// Where what people are sent is shown.
    pub messages_page: &'a str,
    /// The seeded shop.
    pub demo: &'a Demo,
}

impl Story<'_> {
    /// Shell lines that set up the story: variables and two functions.
    fn preparation(&self) -> Vec<String> {
        vec![
            format!("export URL={} NATS_URL={} WAYBILL_DATA_DIR={}", self.http_url, self.nats_url, self.data_dir),
            format!("export MESSAGES={}", self.messages_page),
            format!("export ADMIN={}", self.admin_token),
            format!("export CUSTOMER={}", self.customer_token),
            format!("export PARTNER={} LAMP={} BELL={}", self.demo.partner, self.demo.lamp, self.demo.bell),
            "post() { curl -sS -X POST $URL$1 -H \"Authorization: Bearer $2\" -H \"Idempotency-Key: $(date +%s%N)\" -H 'Content-Type: application/json' -d \"$3\"; echo; }".into(),
            "get() { curl -sS $URL$1 -H \"Authorization: Bearer $2\"; echo; }".into(),
            "field() { grep -o \"\\\"$1\\\":\\\"[^\\\"]*\" | head -1 | cut -d'\"' -f4; }".into(),
            "check() { post /v1/orders/check $CUSTOMER '{\"partner_id\":\"'$PARTNER'\",\"lines\":[{\"product_id\":\"'$1'\",\"quantity\":'$2'}],\"delivery_address\":\"Unter den Linden 1, Berlin\",\"phone\":\"+49 30 7654321\"}'; }".into(),
            "order() { post /v1/orders $CUSTOMER '{\"quote_id\":\"'$1'\",\"payment\":{\"method\":\"card\",\"token\":\"'$2'\"}}'; }".into(),
        ]
    }

    /// The story itself: what happens, and the lines that make it happen.
    fn chapters(&self) -> Vec<(&'static str, Vec<String>)> {
        let show = "sleep 2; get /v1/orders/$ORDER $CUSTOMER";
        vec![
            ("What can be bought", vec!["curl -sS $URL/v1/catalog; echo".into()]),
            (
                "Two lamps: priced, ordered, paid, held, confirmed",
                vec![
                    "QUOTE=$(check $LAMP 2 | field quote_id)".into(),
                    "ORDER=$(order $QUOTE pm_card_visa | field order_id); HAPPY=$ORDER".into(),
                    show.into(),
                    "get /v1/orders/$ORDER/history $CUSTOMER".into(),
                ],
            ),
            (
                "A card that is declined: nothing is kept, nothing is held",
                vec![
                    "QUOTE=$(check $LAMP 1 | field quote_id)".into(),
                    "ORDER=$(order $QUOTE pm_card_visa_chargeDeclined | field order_id)".into(),
                    show.into(),
                ],
            ),
            (
                "The last bell, wanted twice: one is confirmed, the other sold out and its money let go",
                vec![
                    "Q1=$(check $BELL 1 | field quote_id); Q2=$(check $BELL 1 | field quote_id)".into(),
                    "FIRST=$(order $Q1 pm_card_visa | field order_id); ORDER=$(order $Q2 pm_card_visa | field order_id)".into(),
                    "sleep 2; get /v1/orders/$FIRST $CUSTOMER; get /v1/orders/$ORDER $CUSTOMER".into(),
                    "post /v1/inventory/$BELL/receive $ADMIN '{\"quantity\": 1, \"reason\": \"one more, for the next time\"}'".into(),
                ],
            ),
            (
                "A change of mind while the provider is slow: cancelled, and the late money let go",
                vec![
                    "QUOTE=$(check $LAMP 1 | field quote_id)".into(),
                    "ORDER=$(order $QUOTE pm_waybill_slow | field order_id)".into(),
                    "post /v1/orders/$ORDER/cancel $CUSTOMER ''".into(),
                    "sleep 15; get /v1/orders/$ORDER $CUSTOMER".into(),
                ],
            ),
            (
                "What the customer was told: in his inbox, and by mail, text message and push; what the seller's system got",
                vec![
                    "get /v1/notifications $CUSTOMER".into(),
                    "curl -sS \"$MESSAGES.json?order=$HAPPY\"; echo".into(),
                ],
            ),
        ]
    }

    /// The whole story as printed: headings are shell comments, so that all of it can be pasted at once.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            format!(
                "Waybill is ready: {}  (documentation at {}/docs)",
                self.http_url, self.http_url
            ),
            format!(
                "Mails, text messages, pushes and webhooks are shown at {}",
                self.messages_page
            ),
            "Paste these lines into a shell; Ctrl-C here ends everything.".into(),
            String::new(),
        ];
        lines.push(format!("# {}", self.admin));
        lines.extend(self.preparation());
        for (heading, chapter) in self.chapters() {
            lines.push(format!("\n# {heading}"));
            lines.extend(chapter);
        }
        lines.push(
            "\n# The first order, seen with the stock nats CLI and with waybill itself".into(),
        );
        lines.extend(self.nats_lines());
        lines.push(String::new());
        lines
    }

    /// The same things seen with the stock `nats` CLI.
    fn nats_lines(&self) -> Vec<String> {
        vec![
            "nats kv get saga_status fulfilment.$HAPPY".into(),
            "nats req saga.show $HAPPY --raw".into(),
            format!(
                "nats stream view EVENTS --subject \"evt.*.*.$HAPPY\" --translate '{} decode'",
                self.waybill
            ),
            format!("{} events show order $HAPPY", self.waybill),
            format!("{} projections ls", self.waybill),
        ]
    }
}
