//! A request's method is what its first line says.
//!
//! Rocket takes a POST whose form begins with a field `_method` for a request of the method that
//! it names: whoever may post could delete. No published API knows of this. Nothing tells what came
//! as a POST from a form that names the very method it was sent with; nobody sends those.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::form::Form;
use rocket::http::Method;
use rocket::{Data, Request};

/// Makes a POST again of what came as one.
pub(crate) struct AsSent;

#[rocket::async_trait]
impl Fairing for AsSent {
    fn info(&self) -> Info {
        Info {
            name: "the method as sent",
            kind: Kind::Request,
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        if !request.content_type().is_some_and(|kind| kind.is_form()) {
            return;
        }
        // As much as Rocket has looked at.
        let start = data.peek("_method=delete".len()).await;
        let field = std::str::from_utf8(start)
            .ok()
            .and_then(|form| Form::values(form).next());
        let named = field
            .filter(|field| field.name == "_method")
            .and_then(|field| field.value.parse::<Method>().ok());
        if named == Some(request.method()) {
            request.set_method(Method::Post);
        }
    }
}
