//! A tenant and database of Chroma for one test, on a shared server.

use std::process::Command;

use serde_json::{Value, json};

use super::{Shared, run, unique_name};

/// Contains the URL of the server.
const VARIABLE: &str = "TRUEUP_TEST_CHROMA";

pub(crate) struct Chroma {
    server: Shared,
    tenant: String,
    database: String,
}

impl Chroma {
    /// Creates an empty database in a new tenant.
    pub(crate) fn start() -> Self {
        let server = Shared::start("chroma", VARIABLE);
        let chroma = Self { server, tenant: unique_name(), database: format!("db_{}", unique_name()) };
        let tenants = "/api/v2/tenants";
        chroma.request("POST", tenants, Some(&json!({ "name": chroma.tenant }).to_string()));
        let databases = format!("{tenants}/{}/databases", chroma.tenant);
        chroma.request("POST", &databases, Some(&json!({ "name": chroma.database }).to_string()));
        chroma
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        self.server.value(VARIABLE)
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Returns the path of the database in the API.
    pub(crate) fn database_path(&self) -> String {
        format!("/api/v2/tenants/{}/databases/{}", self.tenant, self.database)
    }

    /// Runs Python with Chroma's client as `client`, and returns its output.
    pub(crate) fn python(&self, code: &str) -> String {
        let url = url::Url::parse(&self.url()).unwrap();
        let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
        let Self { server, tenant, database } = self;
        let connect = format!(
            "import chromadb\n\
             client = chromadb.HttpClient('{host}', {port}, tenant='{tenant}', database='{database}')\n"
        );
        let mut python = Command::new(server.value("TRUEUP_TEST_PYTHON"));
        run(python.env("ANONYMIZED_TELEMETRY", "False").arg("-c").arg(connect + code))
    }

    /// Sends a request that must succeed, and returns the JSON of the response.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&str>) -> Value {
        let url = format!("{}{path}", self.url());
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let mut request = client().request(method, &url);
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_owned());
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{url} answers {status}: {text}");
            text
        });
        serde_json::from_str(&answer).unwrap_or(Value::Null)
    }
}

/// The HTTP client has TLS without a cryptography provider, although nothing here is encrypted.
fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
