//! The tools: which there are, and what each does with `ops`.

use std::sync::Arc;

use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::schemars::JsonSchema;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Serialize;

use super::output::{Answered, Found, Ingested, Instances, Listed, Status, Text, error_text};
use super::params::{self, Ingest, Nothing, Query, Search, choose, parse};
use super::run::Runner;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::Name;
use crate::ops;
use crate::ops::engine::{Prune, Question, Wish};
use crate::output::Printer;

/// What serves a client.
pub(super) struct Server {
    runner: Runner,
    printer: Printer,
    names: Vec<Name>,
    tools: Vec<Tool>,
}

/// A tool's result: text, the same as data, and whether it is to be taken as a failure.
struct Reply {
    text: String,
    data: serde_json::Value,
    failed: bool,
}

impl Reply {
    fn new(result: &(impl Text + Serialize)) -> Result<Self> {
        let data = serde_json::to_value(result)
            .map_err(|e| Error::failed("cannot write the result").cause(e.to_string()))?;
        Ok(Self { text: result.text(), data, failed: false })
    }
}

impl Server {
    pub(super) fn new(env: Env, printer: Printer, names: Vec<Name>, read_only: bool) -> Self {
        let tools = tools(&names, read_only);
        Self { runner: Runner::new(env), printer, names, tools }
    }

    async fn call(
        &self,
        tool: &str,
        arguments: Option<JsonObject>,
        request: &RequestContext<RoleServer>,
    ) -> Result<Reply> {
        match tool {
            "query" => self.query(parse(tool, arguments)?, request).await,
            "search" => self.search(parse(tool, arguments)?, request).await,
            "list_instances" => {
                parse::<Nothing>(tool, arguments)?;
                self.list(request).await
            }
            "status" => self.status(&parse(tool, arguments)?, request).await,
            _ => self.ingest(parse(tool, arguments)?, request).await,
        }
    }

    /// The instance that a call is about, as far as one can be told from its arguments.
    fn asked(&self, arguments: Option<&JsonObject>) -> Option<Name> {
        let named = arguments.and_then(|a| a.get("instance")).and_then(|v| v.as_str());
        choose(&self.names, named).ok()
    }

    async fn query(&self, asked: Query, request: &RequestContext<RoleServer>) -> Result<Reply> {
        let name = choose(&self.names, asked.instance.as_deref())?;
        let answer = self
            .runner
            .run(request, async move |ctx| {
                let question = Question {
                    text: &asked.question,
                    mode: asked.mode.as_str(),
                    sources: true,
                    ..Question::default()
                };
                ops::ask::ask(ctx, &name, question).await
            })
            .await?;
        Reply::new(&Answered::from(answer))
    }

    async fn search(&self, asked: Search, request: &RequestContext<RoleServer>) -> Result<Reply> {
        let name = choose(&self.names, asked.instance.as_deref())?;
        if asked.limit.is_some_and(|limit| !(1..=100).contains(&limit)) {
            return Err(Error::usage("the limit is out of range").hint("set limit to 1 … 100"));
        }
        let found = self
            .runner
            .run(request, async move |ctx| {
                let question = Question {
                    text: &asked.query,
                    mode: asked.mode.as_str(),
                    sources: true,
                    context_only: true,
                    top_k: asked.limit,
                    ..Question::default()
                };
                ops::ask::ask(ctx, &name, question).await
            })
            .await?;
        Reply::new(&Found::from(found))
    }

    async fn list(&self, request: &RequestContext<RoleServer>) -> Result<Reply> {
        let names = self.names.clone();
        let instances = self
            .runner
            .run(request, async move |ctx| {
                let mut instances = Vec::new();
                for name in names {
                    // One that cannot be looked at does not hide the others.
                    match ops::status::status(ctx, std::slice::from_ref(&name)).await {
                        Ok(status) => instances.extend(status.into_iter().map(Listed::from)),
                        Err(e) => instances.push(Listed::unknown(name.to_string(), &e)),
                    }
                }
                Ok(instances)
            })
            .await?;
        Reply::new(&Instances { instances })
    }

    async fn status(
        &self,
        asked: &params::Status,
        request: &RequestContext<RoleServer>,
    ) -> Result<Reply> {
        let name = choose(&self.names, asked.instance.as_deref())?;
        let status = self
            .runner
            .run(request, async move |ctx| ops::status::status(ctx, &[name]).await)
            .await?;
        let one = status.into_iter().next().ok_or_else(|| Error::failed("nothing was found"))?;
        Reply::new(&Status::from(one))
    }

    async fn ingest(&self, asked: Ingest, request: &RequestContext<RoleServer>) -> Result<Reply> {
        let name = choose(&self.names, asked.instance.as_deref())?;
        let dry_run = asked.dry_run;
        // The engine's own code for files that failed is 1; any other comes from what cut it off.
        let what_next = |code| match code {
            0 => String::new(),
            1 => format!(
                "What to do: ingest again, what failed is tried anew; why it failed: ragpod logs \
                 {name} -n 50 app\n"
            ),
            _ => format!(
                "It was stopped before its end; what was taken in stays.\nWhat to do: look at its \
                 status, start it if it is stopped (ragpod up {name}), then ingest again\n"
            ),
        };
        let instance = name.clone();
        let (summary, code) = self
            .runner
            .run(request, async move |ctx| {
                let paths: Vec<_> = asked.path.into_iter().map(Into::into).collect();
                let wish = Wish {
                    paths: &paths,
                    pattern: None,
                    recursive: true,
                    prune: Prune::Nothing,
                    dry_run,
                };
                ops::engine::ingest(ctx, &instance, &wish).await
            })
            .await?;
        let mut reply = Reply::new(&Ingested::new(summary, dry_run))?;
        reply.failed = code != 0;
        reply.text.push_str(&what_next(code));
        Ok(reply)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let list = self.names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("ragpod", env!("CARGO_PKG_VERSION")))
            .with_instructions(format!(
                "The user's own documents, indexed as a knowledge graph with passages. Instances: \
                 {list}. Use query for an answer with its sources, and search for the passages \
                 themselves when you want to answer from them yourself."
            ))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        request: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.get_tool(&call.name).is_none() {
            let names: Vec<&str> = self.tools.iter().map(|t| t.name.as_ref()).collect();
            let what = format!("there is no tool {:?}; there are {}", call.name, names.join(", "));
            return Err(ErrorData::invalid_params(what, None));
        }
        let asked = self.asked(call.arguments.as_ref());
        let result = match self.call(&call.name, call.arguments, &request).await {
            Ok(Reply { text, data, failed }) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = Some(data);
                result.is_error = Some(failed);
                result
            }
            Err(error) => {
                let error = match asked {
                    Some(name) => error.about(&name),
                    None => error,
                };
                if self.printer.verbose {
                    self.printer.say(&format!("ragpod mcp: {}: {error}", call.name));
                }
                CallToolResult::error(vec![ContentBlock::text(error_text(&error))])
            }
        };
        Ok(result.into())
    }
}

/// Every tool that is offered.
fn tools(names: &[Name], read_only: bool) -> Vec<Tool> {
    let looks = || ToolAnnotations::new().read_only(true).open_world(false);
    let mut tools = vec![
        tool::<Query, Answered>(
            names,
            "query",
            "Ask the documents",
            "Ask a question about the user's documents. Gives an answer and the files that it rests \
             on, with scores and passages. An answer without sources means that nothing was found.",
            looks(),
        ),
        tool::<Search, Found>(
            names,
            "search",
            "Search the documents",
            "Find the passages of the user's documents that are nearest to a question, without an \
             answer by the instance's own model. Quicker and cheaper than query; use it to answer \
             from the text yourself, or to find which files speak of something.",
            looks(),
        ),
        tool::<Nothing, Instances>(
            names,
            "list_instances",
            "List instances",
            "Which bodies of documents can be asked here, in what state each is, and how many \
             documents it has.",
            looks(),
        ),
        tool::<params::Status, Status>(
            names,
            "status",
            "Status of an instance",
            "The state of an instance: its services with memory and restarts, its documents, its \
             last ingest. Use it when a question fails or an answer seems out of date.",
            looks(),
        ),
    ];
    if !read_only {
        tools.push(tool::<Ingest, Ingested>(
            names,
            "ingest",
            "Take in new documents",
            "Take new and changed files of an instance's sources into its index. Unchanged files \
             cost nothing; can take minutes and tells its progress. A cancelled ingest keeps what \
             was taken in.",
            ToolAnnotations::new()
                .read_only(false)
                .destructive(false)
                .idempotent(true)
                .open_world(false),
        ));
    }
    tools
}

fn tool<In, Out>(
    names: &[Name],
    name: &'static str,
    title: &str,
    description: &'static str,
    annotations: ToolAnnotations,
) -> Tool
where
    In: JsonSchema + 'static,
    Out: JsonSchema + 'static,
{
    // A parameter type that is no object has no place in this file; a test lists the tools.
    let mut input = schema_for_input::<In>().map(Arc::unwrap_or_clone).unwrap_or_default();
    params::name_instances(&mut input, names);
    params::without_widths(&mut input);
    let mut output = Arc::unwrap_or_clone(schema_for_output::<Out>());
    params::without_widths(&mut output);
    Tool::new(name, description, input)
        .with_title(title)
        .with_raw_output_schema(output.into())
        .with_annotations(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_have_schemas_that_clients_take() {
        let names = ["a".parse().unwrap(), "b".parse().unwrap()];
        let all = tools(&names, false);
        let list: Vec<&str> = all.iter().map(|t| t.name.as_ref()).collect();
        assert_eq!(list, ["query", "search", "list_instances", "status", "ingest"]);
        for tool in &all {
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object", "{}", tool.name);
            let required = tool.input_schema.get("required").map(ToString::to_string);
            let named = required.unwrap_or_default().contains("instance");
            assert_eq!(named, tool.name != "list_instances", "{}", tool.name);
        }
        // What JSON Schema does not know, clients warn of, once for each.
        let text = serde_json::to_string(&all).unwrap();
        assert!(!text.contains("\"uint") && text.contains("\"integer\""), "{text}");
        let one = tools(&names[..1], true);
        assert!(one.iter().all(|t| t.name != "ingest"));
        assert!(one.iter().all(|t| t.annotations.as_ref().unwrap().read_only_hint == Some(true)));
        assert_eq!(one[0].input_schema["required"], serde_json::json!(["question"]));
    }
}
