//! A bookshop's API in JSON: typed queries and paths, shared state, a user from a layer, errors of its own, an upload of any
//! size, and a fallback.
//!
//! `cargo run --release --example api`, then `curl -H 'Authorization: Bearer ann' -d '{"title": "Emma", "price": 9.5}'
//! -H 'Content-Type: application/json' http://127.0.0.1:8080/books`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gannet::Engine;
use gannet_http::middleware::{AccessLog, Guard, Recover, TraceContext};
use gannet_http::{Cx, HttpService, Json, Layer, Receive, Receiving, Rejection, Reply, Respond, Router};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Book {
    title: String,
    price: f64,
    #[serde(default)]
    sold: u32,
}

#[derive(Default)]
struct Shop(Mutex<BTreeMap<u32, Book>>);

impl Shop {
    fn books(&self) -> MutexGuard<'_, BTreeMap<u32, Book>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct User(String);

enum Error {
    Rejected(Rejection),
    NoUser,
    NoBook(u32),
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Respond for Error {
    fn respond(self, reply: &mut Reply<'_>) {
        let (status, error) = match self {
            Self::Rejected(rejection) => (rejection.status(), rejection.to_string()),
            Self::NoUser => (401, "send Authorization: Bearer and your name".to_owned()),
            Self::NoBook(id) => (404, format!("there is no book {id}")),
        };
        (status, Json(BTreeMap::from([("error", error)]))).respond(reply);
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: u32,
    #[serde(default = "ten")]
    limit: usize,
}

fn ten() -> usize {
    10
}

#[derive(Deserialize)]
struct Search {
    title: String,
}

fn authenticate(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.request_header("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    let name = String::from_utf8_lossy(name.ok_or(Error::NoUser)?).into_owned();
    cx.insert(User(name));
    Ok(())
}

fn me(cx: &mut Cx<'_>, _: &Shop) -> Result<Json<String>, Error> {
    let User(name) = cx.extension()?;
    Ok(Json(name.clone()))
}

fn list(cx: &mut Cx<'_>, shop: &Shop) -> Result<Json<BTreeMap<u32, Book>>, Error> {
    let Page { after, limit } = cx.query_as()?;
    let books = shop.books();
    Ok(Json(books.range(after + 1..).take(limit).map(|(&id, book)| (id, book.clone())).collect()))
}

fn search(cx: &mut Cx<'_>, shop: &Shop) -> Result<Json<Vec<u32>>, Error> {
    let Search { title } = cx.form()?;
    Ok(Json(shop.books().iter().filter(|(_, book)| book.title.contains(&title)).map(|(&id, _)| id).collect()))
}

fn create(cx: &mut Cx<'_>, shop: &Shop) -> Result<(u16, Json<u32>), Error> {
    let book: Book = cx.json()?;
    let mut books = shop.books();
    let id = books.last_key_value().map_or(1, |(last, _)| last + 1);
    books.insert(id, book);
    Ok((201, Json(id)))
}

fn read(cx: &mut Cx<'_>, shop: &Shop) -> Result<Json<Book>, Error> {
    let id = cx.params()?;
    Ok(Json(shop.books().get(&id).ok_or(Error::NoBook(id))?.clone()))
}

fn replace(cx: &mut Cx<'_>, shop: &Shop) -> Result<u16, Error> {
    let (id, book) = (cx.params()?, cx.json()?);
    *shop.books().get_mut(&id).ok_or(Error::NoBook(id))? = book;
    Ok(204)
}

fn delete(cx: &mut Cx<'_>, shop: &Shop) -> Result<u16, Error> {
    let id = cx.params()?;
    shop.books().remove(&id).map(|_| 204).ok_or(Error::NoBook(id))
}

fn buy(cx: &mut Cx<'_>, shop: &Shop) -> Result<Json<u32>, Error> {
    let id = cx.params()?;
    let mut books = shop.books();
    let book = books.get_mut(&id).ok_or(Error::NoBook(id))?;
    book.sold += 1;
    Ok(Json(book.sold))
}

/// Counts the lines of a text of any size.
struct Lines(usize);

impl Receive for Lines {
    fn piece(&mut self, bytes: &[u8], _: &mut Receiving<'_, '_>) {
        self.0 += bytes.iter().filter(|&&byte| byte == b'\n').count();
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        body.answer(Json(self.0));
    }
}

fn books(shop: Arc<Shop>) -> Router<impl Layer, impl Clone> {
    Router::new()
        .state(shop)
        .get("", list)
        .get("/{id}", read)
        .post("/search", search)
        .layer(Guard(authenticate))
        .get("/me", me)
        .post("", create)
        .put("/{id}", replace)
        .delete("/{id}", delete)
        .post("/{id}/buy", buy)
        .upload("PUT", "/{id}/text", |cx, _| cx.receive(1 << 40, Lines(0)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let routes = Router::new()
        .layer(TraceContext::new())
        .layer(AccessLog)
        .layer(Recover)
        .get("/health", |_| "up\n")
        .nest("/books", books(Arc::default()))
        .fallback(|_| (404, Json(BTreeMap::from([("error", "no such endpoint")]))))
        .build()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:8080".to_owned());
    Ok(Engine::new().listen(&address, move || HttpService::new(&routes))?.run()?)
}
