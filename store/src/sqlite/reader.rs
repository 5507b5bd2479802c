//! The reading side. Readers see the last commit, and neither wait for savers nor make them wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};

use common::publication_key;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::error::store_error;
use super::schema::{self, Found};
use crate::api::{EntityCount, Filter, Leader, Overview, PublicationCount, Reader, StoreError};

/// A connection that can't write.
pub struct SqliteReader {
    path: PathBuf,
    connection: Connection,
}

impl SqliteReader {
    /// Opens a file that is there.
    pub fn open(path: &Path) -> Result<SqliteReader, StoreError> {
        let absent = || StoreError::Absent(path.display().to_string());
        if !path.try_exists().map_err(|error| super::error::file_error(&error, path))? {
            return Err(absent());
        }
        let connection = schema::open_read_only(path)?;
        match schema::inspect(&connection, path)? {
            // Its first writer has not come so far yet.
            Found::Empty => Err(absent()),
            Found::Current => Ok(SqliteReader { path: path.to_owned(), connection }),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&self.connection).map_err(|error| store_error(&error, &self.path))
    }
}

impl Reader for SqliteReader {
    fn publications(&mut self) -> Result<Vec<PublicationCount>, StoreError> {
        let row = |row: &Row<'_>| Ok(PublicationCount { publication: row.get(0)?, articles: row.get(1)? });
        let sql = "SELECT key, articles FROM publications ORDER BY articles DESC, key";
        self.read(|connection| rows(connection, sql, Vec::new(), row))
    }

    fn entities(&mut self, filter: &Filter) -> Result<Vec<EntityCount>, StoreError> {
        let row = |row: &Row<'_>| {
            Ok(EntityCount { publication: row.get(0)?, label: row.get(1)?, entity: row.get(2)?, count: row.get(3)? })
        };
        let (sql, parameters) = entities_query(filter);
        self.read(|connection| rows(connection, &sql, parameters, row))
    }

    fn overview(&mut self, top: usize) -> Result<Overview, StoreError> {
        self.read(|connection| {
            // One transaction, so that all figures are of the same moment.
            let transaction = connection.unchecked_transaction()?;
            let sql = "SELECT count(*), CAST(total(articles) AS INTEGER) FROM publications";
            let (publications, articles) = transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (mentions, leaders) = leaders(&transaction, top)?;
            Ok(Overview { publications, articles, mentions, leaders })
        })
    }
}

/// Conditions are left out rather than written as `?1 IS NULL OR …`, which would hide them from the planner. CROSS JOIN
/// keeps publications outside: each is looked up once, and its counters are one stretch of the primary key.
fn entities_query(filter: &Filter) -> (String, Vec<Value>) {
    let mut sql = "SELECT key, label, entity, count
         FROM publications CROSS JOIN counters ON counters.publication = publications.id"
        .to_owned();
    let mut parameters = Vec::new();
    if let Some(publication) = &filter.publication {
        parameters.push(Value::Text(publication_key(publication)));
        sql += " AND key = ?";
    }
    if let Some(label) = &filter.label {
        parameters.push(Value::Text(label.clone()));
        sql += " AND label = ?";
    }
    sql += " ORDER BY count DESC, key, label, entity";
    if filter.top > 0 {
        parameters.push(Value::Integer(i64::try_from(filter.top).unwrap_or(i64::MAX)));
        sql += " LIMIT ?";
    }
    (sql, parameters)
}

/// All mentions, and the leaders of every label. They are picked here, in one pass over the sums: a window function
/// would sort all of them once more.
fn leaders(connection: &Connection, top: usize) -> rusqlite::Result<(u64, BTreeMap<String, Vec<Leader>>)> {
    // TOTAL goes up to the largest number where SUM fails past it.
    let sql = "SELECT label, entity, CAST(total(count) AS INTEGER) FROM counters GROUP BY label, entity";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut mentions = 0_u64;
    let mut leaders: BTreeMap<String, BinaryHeap<(Reverse<u64>, String)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let label = row.get_ref(0)?.as_str()?;
        let count = row.get::<_, u64>(2)?;
        mentions = mentions.saturating_add(count);
        if !leaders.contains_key(label) {
            leaders.insert(label.to_owned(), BinaryHeap::new());
        }
        let Some(heap) = leaders.get_mut(label) else { continue };
        // Rows come by name, so of equal counts the one that is there already goes first.
        if heap.len() == top && heap.peek().is_none_or(|(Reverse(least), _)| count <= *least) {
            continue;
        }
        heap.push((Reverse(count), row.get(1)?));
        if heap.len() > top {
            heap.pop();
        }
    }
    let in_order = |heap: BinaryHeap<(Reverse<u64>, String)>| {
        heap.into_sorted_vec().into_iter().map(|(Reverse(count), entity)| Leader { entity, count }).collect()
    };
    Ok((mentions, leaders.into_iter().map(|(label, heap)| (label, in_order(heap))).collect()))
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params_from_iter(parameters), row)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_and_label_are_one_stretch_of_the_primary_key() {
        let dir = tempfile::TempDir::new().expect("temp dir");
        let database = schema::open(&dir.path().join("x.db")).expect("opens");
        for publication in [None, Some("a".to_owned())] {
            let (sql, parameters) = entities_query(&Filter { publication, label: Some("PER".to_owned()), top: 20 });
            let row = |row: &Row<'_>| row.get::<_, String>(3);
            let plan = rows(&database, &format!("EXPLAIN QUERY PLAN {sql}"), parameters, row).expect("a plan");
            assert!(plan.iter().any(|step| step.contains("PRIMARY KEY (publication=? AND label=?)")), "{plan:?}");
        }
    }
}
