//! Data of applications in JSON: as it is, or as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gannet_channels::{ClientInfo, Publication};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Failure;
use crate::session::codes::ErrorReply;

/// Reads a field that is there, if only as `null`: that is a value like others.
pub(super) fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(field).map(Some)
}

/// Reads data that came as JSON or as base64. `None` if there is neither.
pub(super) fn data(json: Option<&RawValue>, base64: Option<&str>) -> Result<Option<Bytes>, Failure> {
    match base64.filter(|text| !text.is_empty()) {
        Some(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(_) => Err(ErrorReply::BAD_REQUEST.into()),
        },
        None => Ok(json.map(|json| Bytes::copy_from_slice(json.get().as_bytes()))),
    }
}

/// Adds data under a name, or where it is not JSON under another one as base64.
fn add(map: &mut Map<String, Value>, name: &str, name_of_base64: &str, data: &[u8]) {
    match serde_json::from_slice(data) {
        Ok(value) => map.insert(name.to_owned(), value),
        Err(_) => map.insert(name_of_base64.to_owned(), Value::String(STANDARD.encode(data))),
    };
}

/// Returns what is told of a client.
pub(crate) fn client_info(info: &ClientInfo) -> Value {
    let mut map = Map::new();
    map.insert("user".to_owned(), info.user().into());
    map.insert("client".to_owned(), info.client().to_string().into());
    if let Some(own) = info.conn_info() {
        add(&mut map, "conn_info", "b64conn_info", own);
    }
    if let Some(own) = info.chan_info() {
        add(&mut map, "chan_info", "b64chan_info", own);
    }
    Value::Object(map)
}

/// Returns a publication.
pub(super) fn publication(own: &Publication) -> Value {
    let mut map = Map::new();
    map.insert("offset".to_owned(), own.offset.into());
    add(&mut map, "data", "b64data", &own.data);
    if let Some(info) = &own.info {
        map.insert("info".to_owned(), client_info(info));
    }
    if !own.tags.is_empty() {
        let tags = own.tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        map.insert("tags".to_owned(), Value::Object(tags));
    }
    Value::Object(map)
}
