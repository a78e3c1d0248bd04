//! Somebody whose every field holds a word that is nowhere else.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::{MailServer, Person, Shop, answer};
use uuid::Uuid;

use crate::WAYBILL;

const PASSWORD: &str = "correct horse battery";

/// A shop that sends mails over SMTP, so that its log holds none, and says much.
pub async fn shop(settings: &[(&str, &str)]) -> Shop {
    let mail = MailServer::shared().url();
    let mut all = vec![
        ("WAYBILL_SMTP_URL", &*mail),
        ("WAYBILL_LOG", "debug,hyper=info,h2=info"),
        ("WAYBILL_RATE_LIMIT", "off"),
    ];
    all.extend_from_slice(settings);
    Shop::start(WAYBILL, &all).await
}

/// Somebody, and the words by which he would be found.
pub struct Marked {
    pub id: Uuid,
    pub email: String,
    pub person: Person,
    pub words: Vec<String>,
    pub address: String,
    pub phone: String,
}

impl Marked {
    /// Signs up, signs in, and says more of himself.
    pub async fn new(shop: &Shop) -> Self {
        let word = |kind: &str| format!("{kind}{}", Uuid::now_v7().simple());
        // Digits only, where nothing else is taken.
        let digits = |skip: u128| {
            format!(
                "49{:010}",
                (Uuid::now_v7().as_u128() / skip) % 10_000_000_000
            )
        };
        let (first, last, street, device) = (
            word("Adelina"),
            word("Zubrowski"),
            word("Elmstreet"),
            word("Device"),
        );
        let email = format!("{}@example.org", word("ada"));
        let (phone, called) = (digits(7), digits(11));
        let body = json!({
            "email": email, "password": PASSWORD, "first_name": first, "last_name": last,
            "phone": format!("+{phone}"), "birth_date": "1931-07-23", "push_token": device,
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let registered = answer(
            client
                .post(format!("{}/v1/auth/register", shop.url()))
                .json(&body),
        )
        .await
        .ok();
        let person = sign_in(shop, &email).await.unwrap();
        Self {
            id: registered["id"].as_str().unwrap().parse().unwrap(),
            person,
            address: format!("{street} 17, Berlin"),
            phone: format!("+{called}"),
            words: vec![
                first,
                last,
                street,
                device,
                email.clone(),
                phone,
                called,
                "1931-07-23".into(),
            ],
            email,
        }
    }

    /// Sends a picture; a word of his is behind its last pixel, as cameras and programs leave them there.
    pub async fn shows(&self, red: u8) -> Value {
        let picture = RgbaImage::from_pixel(40, 40, Rgba([red, 20, 20, 255]));
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(picture)
            .write_to(&mut file, ImageFormat::Png)
            .unwrap();
        let head = format!(
            "--cut\r\nContent-Disposition: form-data; name=\"avatar\"; filename=\"{}.png\"\r\n\r\n",
            self.words[0]
        );
        let body = [
            head.as_bytes(),
            file.get_ref(),
            self.words[1].as_bytes(),
            b"\r\n--cut--\r\n",
        ]
        .concat();
        let put = self
            .person
            .request(Method::PUT, "/v1/me/avatar")
            .header("content-type", "multipart/form-data; boundary=cut")
            .body(body);
        let told = answer(put).await;
        let position = told.position.unwrap();
        let shown = told.ok();
        let seen = self.picture(position).await;
        assert_eq!(seen.status(), StatusCode::OK);
        let etag = seen.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(etag, format!("\"{}\"", shown["digest"].as_str().unwrap()));
        let bytes = seen.bytes().await.unwrap();
        assert_eq!(image::guess_format(&bytes).unwrap(), ImageFormat::WebP);
        shown
    }

    /// His picture, as it is after a position.
    pub async fn picture(&self, position: u64) -> Response {
        self.person
            .request(Method::GET, "/v1/me/avatar")
            .header("Waybill-Min-Position", position)
            .send()
            .await
            .unwrap()
    }

    /// Buys something that is brought to his address.
    pub async fn buys(&self, partner: &str, product: &str) -> String {
        let basket = json!({
            "partner_id": partner, "lines": [{"product_id": product, "quantity": 1}],
            "delivery_address": self.address, "phone": self.phone,
        });
        let quote = self.person.post("/v1/orders/check", &basket).await.ok();
        // A second one stays unused in its bucket.
        self.person.post("/v1/orders/check", &basket).await.ok();
        let body = json!({
            "quote_id": quote["quote_id"], "payment": {"method": "card", "token": "pm_card_visa"},
        });
        let order = self.person.post("/v1/orders", &body).await.ok();
        let order = order["order_id"].as_str().unwrap().to_owned();
        self.person.order_becomes(&order, "confirmed").await;
        order
    }

    /// Has himself erased; the position of that.
    pub async fn erases_himself(&self) -> u64 {
        let told = answer(self.person.request(Method::DELETE, "/v1/me?erase=true")).await;
        assert_eq!(told.status, StatusCode::NO_CONTENT, "{told:?}");
        told.position.unwrap()
    }
}

/// A partner who sells a product.
pub async fn seller(shop: &mut Shop) -> (String, String) {
    let admin = shop.admin();
    let partner = json!({
        "title": "Corner Bakery Ltd", "brand": "Corner Bakery", "phone": "+49 30 5550100",
        "email": "orders@bakery.example", "address": "1 Main Street",
    });
    let partner = admin.post("/v1/partners", &partner).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for verb in ["verify", "enable"] {
        let path = format!("/v1/partners/{partner}/{verb}");
        admin.post(&path, &json!({})).await.ok();
    }
    let money = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let product = json!({
        "sku": Uuid::now_v7().simple().to_string(), "name": "A mug", "brand": "Mugs", "category": "kitchen",
        "unit_cost": money(800),
    });
    let product = admin.post("/v1/products", &product).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/partners/{partner}/offers/{product}");
    let offer = json!({"price": money(2000), "active": true});
    answer(admin.request(Method::PUT, &path).json(&offer))
        .await
        .ok();
    let path = format!("/v1/inventory/{product}/receive");
    admin.post(&path, &json!({"quantity": 10})).await.ok();
    (partner, product)
}

/// Signs in, if the address and the password are somebody's.
pub async fn sign_in(shop: &Shop, email: &str) -> Option<Person> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"email": email, "password": PASSWORD});
    let told = answer(
        client
            .post(format!("{}/v1/auth/login", shop.url()))
            .json(&body),
    )
    .await;
    if told.status == StatusCode::UNAUTHORIZED {
        assert_eq!(told.body["code"], "invalid_credentials");
        return None;
    }
    let token = told.ok()["access_token"].as_str().unwrap().to_owned();
    Some(Person::new(&shop.url(), &token))
}
