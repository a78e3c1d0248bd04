//! The page of the message sandbox, as programs read it.

use reqwest::Client;
use serde_json::Value;
use testkit::Shop;
use testkit::within;

/// What has arrived.
pub struct View {
    http: Client,
    url: String,
}

impl View {
    /// That of a running shop.
    pub fn of(shop: &Shop) -> Self {
        Self {
            http: Client::builder().no_proxy().build().unwrap(),
            url: shop.running()["messages_url"].as_str().unwrap().to_owned(),
        }
    }

    /// What a person sees.
    pub async fn page(&self) -> String {
        let answer = self
            .http
            .get(format!("{}/messages", self.url))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }

    /// What has arrived on a channel about something.
    pub async fn messages(&self, channel: &str, about: &str) -> Vec<Value> {
        let url = format!("{}/messages.json?channel={channel}&order={about}", self.url);
        let answer = self.http.get(url).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["data"].as_array().unwrap().clone()
    }

    /// Waits until so many have arrived.
    pub async fn arrived(&self, channel: &str, about: &str, least: usize) -> Vec<Value> {
        within(&format!("{least} on {channel} about {about}"), async || {
            let found = self.messages(channel, about).await;
            (found.len() >= least).then_some(found)
        })
        .await
    }
}
