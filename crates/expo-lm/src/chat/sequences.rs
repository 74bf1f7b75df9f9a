//! Jinja2's filters on lists and dicts.

use minijinja::value::Tuple;
use minijinja::{Error, State, Value};

use super::args::Args;
use super::errors::kind_error;
use super::objects::{Generator, Group, Shown, View};
use super::python::text as soft;
use super::python::{self, Py, items, kind, pay, pay_values, truth, type_name};

/// `value.a.b.0`, as filters take attributes by name.
fn looked_up(state: &State, value: &Value, path: Option<&Value>) -> Result<Value, Error> {
    let Some(path) = path.filter(|path| !path.is_none()) else { return Ok(value.clone()) };
    let Py::Text(path) = kind(path) else { return value.get_item(path) };
    pay(state, path.len())?;
    let mut found = value.clone();
    for part in path.split('.') {
        let index = if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<i64>().ok() } else { None };
        found = match index {
            Some(index) => found.get_item(&Value::from(index))?,
            None => {
                let item = found.get_item(&Value::from(part))?;
                if item.is_undefined() { super::callables::bound(&found, part).unwrap_or(item) } else { item }
            }
        };
    }
    Ok(found)
}

/// The same with another value for each on the way that isn't there.
fn looked_up_or(state: &State, value: &Value, path: Option<&Value>, default: Option<&Value>) -> Result<Value, Error> {
    let Some(default) = default.filter(|default| !default.is_none()) else { return looked_up(state, value, path) };
    let parts: Vec<Value> = match path.and_then(Value::as_str) {
        Some(path) => path.split('.').map(Value::from).collect(),
        None => path.cloned().into_iter().collect(),
    };
    let mut found = value.clone();
    for part in &parts {
        found = looked_up(state, &found, Some(part))?;
        if found.is_undefined() {
            found = default.clone();
        }
    }
    Ok(found)
}

/// The same with strings in lower case.
fn key(state: &State, value: &Value, path: Option<&Value>, case_sensitive: bool, default: Option<&Value>) -> Result<Value, Error> {
    let found = looked_up_or(state, value, path, default)?;
    Ok(match kind(&found) {
        Py::Text(text) if !case_sensitive => {
            pay(state, text.len())?;
            Value::from(text.to_lowercase())
        }
        _ => found,
    })
}

pub(super) fn batch(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, count, fill] = args.bind(["value", "linecount", "fill_with"], 2)?;
    let count = usize::try_from(args.integer(count.as_ref(), 0)?).unwrap_or(0);
    let all = items(state, &value.unwrap_or_default())?;
    if all.is_empty() {
        return Ok(Generator::value(all));
    }
    if count == 0 {
        return args.error("expected a count of at least 1");
    }
    let mut rows: Vec<Vec<Value>> = all.chunks(count).map(<[Value]>::to_vec).collect();
    if let (Some(fill), Some(last)) = (fill.filter(|fill| !fill.is_none()), rows.last_mut()) {
        pay_values(state, count - last.len())?;
        last.resize(count, fill);
    }
    Ok(Generator::value(rows.into_iter().map(Value::from).collect()))
}

pub(super) fn slice(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, slices, fill] = args.bind(["value", "slices", "fill_with"], 2)?;
    let slices = usize::try_from(args.integer(slices.as_ref(), 0)?).unwrap_or(0);
    let all = items(state, &value.unwrap_or_default())?;
    if slices == 0 {
        return args.error("expected at least 1 slice");
    }
    pay_values(state, slices)?;
    let fill = fill.filter(|fill| !fill.is_none());
    let (each, longer) = (all.len() / slices, all.len() % slices);
    let mut rest = all.as_slice();
    let mut columns = Vec::new();
    for number in 0..slices {
        let (column, after) = rest.split_at(each + usize::from(number < longer));
        let mut column = column.to_vec();
        rest = after;
        if number >= longer {
            column.extend(fill.clone());
        }
        columns.push(Value::from(column));
    }
    Ok(Generator::value(columns))
}

pub(super) fn first(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value] = args.bind(["seq"], 1)?;
    let value = value.unwrap_or_default();
    match kind(&value) {
        Py::Generator(generator) => Ok(generator.next().unwrap_or(Value::UNDEFINED)),
        Py::Text(text) => Ok(text.chars().next().map_or(Value::UNDEFINED, Value::from)),
        _ => Ok(items(state, &value)?.into_iter().next().unwrap_or(Value::UNDEFINED)),
    }
}

pub(super) fn last(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value] = args.bind(["seq"], 1)?;
    let value = value.unwrap_or_default();
    match kind(&value) {
        Py::Generator(_) => kind_error("last: 'generator' object is not reversible; make it a list first"),
        Py::Text(text) => Ok(text.chars().next_back().map_or(Value::UNDEFINED, Value::from)),
        _ => Ok(items(state, &value)?.pop().unwrap_or(Value::UNDEFINED)),
    }
}

pub(super) fn reverse(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    let value = value.unwrap_or_default();
    match kind(&value) {
        Py::Text(text) => {
            pay(state, text.len())?;
            Ok(Value::from(text.chars().rev().collect::<String>()))
        }
        kind => {
            let is_list = matches!(kind, Py::Generator(_) | Py::Undefined);
            let mut all = items(state, &value)?;
            all.reverse();
            Ok(if is_list { Value::from(all) } else { Generator::value(all) })
        }
    }
}

pub(super) fn join(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, separator, attribute] = args.bind(["value", "d", "attribute"], 1)?;
    let separator = separator.map_or_else(|| Ok(String::new()), |separator| soft(state, &separator))?;
    let mut out = String::new();
    for (i, item) in items(state, &value.unwrap_or_default())?.iter().enumerate() {
        if i > 0 {
            pay(state, separator.len())?;
            out.push_str(&separator);
        }
        out += &soft(state, &looked_up(state, item, attribute.as_ref())?)?;
    }
    Ok(Value::from(out))
}

/// `sorted`, of items with their keys.
fn sorted(state: &State, mut keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<(Value, Value)>, Error> {
    python::sort(state, &mut keyed, reverse)?;
    Ok(keyed)
}

pub(super) fn sort(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, reverse, case_sensitive, attribute] = args.bind(["value", "reverse", "case_sensitive", "attribute"], 1)?;
    let case_sensitive = args.flag(case_sensitive.as_ref());
    // Several attributes are one list.
    let paths: Vec<Value> = match attribute.as_ref().and_then(Value::as_str) {
        Some(text) => text.split(',').map(Value::from).collect(),
        None => vec![attribute.unwrap_or_else(|| Value::from(()))],
    };
    let mut keyed = Vec::new();
    for item in items(state, &value.unwrap_or_default())? {
        let keys = paths.iter().map(|path| key(state, &item, Some(path), case_sensitive, None)).collect::<Result<Vec<_>, _>>()?;
        keyed.push((Value::from(keys), item));
    }
    Ok(sorted(state, keyed, args.flag(reverse.as_ref()))?.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn dictsort(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, case_sensitive, by, reverse] = args.bind(["value", "case_sensitive", "by", "reverse"], 1)?;
    let value = value.unwrap_or_default();
    let by = by.unwrap_or_else(|| Value::from("key"));
    let by_key = match args.text(&by)? {
        "key" => true,
        "value" => false,
        _ => return args.error("you can only sort by either \"key\" or \"value\""),
    };
    if !matches!(kind(&value), Py::Dict) {
        return kind_error(format!("'{}' object has no attribute 'items'", type_name(&value)));
    }
    let mut keyed = Vec::new();
    for item in items(state, &value)? {
        let pair = Value::from(Tuple::from([item.clone(), value.get_item(&item)?]));
        let by = pair.get_item_by_index(usize::from(!by_key))?;
        keyed.push((key(state, &by, None, args.flag(case_sensitive.as_ref()), None)?, pair));
    }
    Ok(sorted(state, keyed, args.flag(reverse.as_ref()))?.into_iter().map(|(_, pair)| pair).collect())
}

pub(super) fn groupby(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, attribute, default, case_sensitive] = args.bind(["value", "attribute", "default", "case_sensitive"], 2)?;
    let case_sensitive = args.flag(case_sensitive.as_ref());
    let mut keyed = Vec::new();
    for item in items(state, &value.unwrap_or_default())? {
        keyed.push((key(state, &item, attribute.as_ref(), case_sensitive, default.as_ref())?, item));
    }
    let keyed = sorted(state, keyed, false)?;
    let groups = keyed.chunk_by(|(a, _), (b, _)| a == b).map(|group| {
        let grouper = key(state, &group[0].1, attribute.as_ref(), true, default.as_ref())?;
        Ok(Value::from_object(Group { grouper, list: group.iter().map(|(_, item)| item.clone()).collect() }))
    });
    groups.collect::<Result<Vec<_>, Error>>().map(Value::from)
}

pub(super) fn unique(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, case_sensitive, attribute] = args.bind(["value", "case_sensitive", "attribute"], 1)?;
    let (mut seen, mut kept) = (std::collections::HashSet::new(), Vec::new());
    for item in items(state, &value.unwrap_or_default())? {
        let key = key(state, &item, attribute.as_ref(), args.flag(case_sensitive.as_ref()), None)?;
        python::check_key(state, &key)?;
        if seen.insert(key) {
            kept.push(item);
        }
    }
    Ok(Generator::value(kept))
}

pub(super) fn extreme(state: &mut State, args: &Args, greatest: bool) -> Result<Value, Error> {
    let [value, case_sensitive, attribute] = args.bind(["value", "case_sensitive", "attribute"], 1)?;
    let mut best: Option<(Value, Value)> = None;
    for item in items(state, &value.unwrap_or_default())? {
        let key = key(state, &item, attribute.as_ref(), args.flag(case_sensitive.as_ref()), None)?;
        let better = match &best {
            None => true,
            Some((old, _)) => {
                let (less, more) = if greatest { (old, &key) } else { (&key, old) };
                python::order(state, less, more, if greatest { ">" } else { "<" })?.is_lt()
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

pub(super) fn sum(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, attribute, start] = args.bind(["iterable", "attribute", "start"], 1)?;
    let mut total = start.unwrap_or_else(|| Value::from(0));
    if total.as_str().is_some() {
        return args.error("can't sum strings; use `join`");
    }
    for item in items(state, &value.unwrap_or_default())? {
        let item = looked_up(state, &item, attribute.as_ref())?;
        total = super::operators::plus(state, &total, &item)?;
    }
    Ok(total)
}

/// Calls a filter by its name.
fn filtered(state: &mut State, name: &Value, args: Vec<Value>) -> Result<Value, Error> {
    match name.as_str() {
        Some(name) => state.apply_filter(name, &args),
        None => kind_error(format!("expected a filter's name, found '{}'", type_name(name))),
    }
}

/// `args` from one on, with those that have names.
fn rest_of(args: &Args, from: usize) -> Vec<Value> {
    let mut rest: Vec<Value> = args.positional.iter().skip(from).cloned().collect();
    if !args.named.is_empty() {
        rest.push(args.named.iter().cloned().collect::<minijinja::value::Kwargs>().into());
    }
    rest
}

pub(super) fn map(state: &mut State, args: &Args) -> Result<Value, Error> {
    let Some(value) = args.positional.first() else { return args.error("takes a value") };
    if !truth(value) {
        return Ok(Generator::value(Vec::new()));
    }
    let all = items(state, value)?;
    let mut mapped = Vec::with_capacity(all.len());
    if args.positional.len() == 1 && args.named.iter().any(|(name, _)| name == "attribute") {
        let rest = Args::named("map", args.named.clone());
        let [attribute, default] = rest.bind(["attribute", "default"], 1)?;
        for item in &all {
            mapped.push(looked_up_or(state, item, attribute.as_ref(), default.as_ref())?);
        }
        return Ok(Generator::value(mapped));
    }
    let Some(name) = args.positional.get(1) else { return args.error("requires a filter argument") };
    let rest = rest_of(args, 2);
    for item in all {
        let mut values = vec![item];
        values.extend(rest.iter().cloned());
        mapped.push(filtered(state, name, values)?);
    }
    Ok(Generator::value(mapped))
}

pub(super) fn select(state: &mut State, args: &Args, holding: bool, by_attribute: bool) -> Result<Value, Error> {
    let Some(value) = args.positional.first() else { return args.error("takes a value") };
    if !truth(value) {
        return Ok(Generator::value(Vec::new()));
    }
    if by_attribute && args.positional.len() < 2 {
        return args.error("missing parameter for attribute name");
    }
    let attribute = args.positional.get(1).filter(|_| by_attribute);
    let from = 1 + usize::from(by_attribute);
    let rest = rest_of(args, from + 1);
    let mut kept = Vec::new();
    for item in items(state, value)? {
        let looked = looked_up(state, &item, attribute)?;
        let holds = match args.positional.get(from) {
            None => truth(&looked),
            Some(test) => {
                let mut values = vec![looked];
                values.extend(rest.iter().cloned());
                let Some(test) = test.as_str() else { return args.error("expected a test's name") };
                state.perform_test(test, &values)?
            }
        };
        if holds == holding {
            kept.push(item);
        }
    }
    Ok(Generator::value(kept))
}

/// The pairs of a dict, in order.
pub(super) fn pairs(map: &Value) -> Vec<Value> {
    View { of: map.clone(), shown: Shown::Items }.values()
}
