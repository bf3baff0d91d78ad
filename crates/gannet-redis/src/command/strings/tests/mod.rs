mod effects;
mod replies;
