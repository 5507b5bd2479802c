//! The reading side. Readers see the last commit, and neither wait for savers nor make them wait.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::publication_key;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

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
        self.read(|connection| rows(connection, sql, &[], row))
    }

    fn entities(&mut self, filter: &Filter) -> Result<Vec<EntityCount>, StoreError> {
        // The conditions are left out rather than written as `?1 IS NULL OR …`, which would hide them from the planner.
        // CROSS JOIN keeps publications outside: each is looked up once, and its counters are one stretch of the key.
        let mut sql = "SELECT key, label, entity, count
             FROM publications CROSS JOIN counters ON counters.publication = publications.id"
            .to_owned();
        let key = filter.publication.as_deref().map(publication_key);
        let top = if filter.top == 0 { i64::MAX } else { i64::try_from(filter.top).unwrap_or(i64::MAX) };
        let mut parameters: Vec<&dyn ToSql> = vec![&top];
        if let Some(key) = &key {
            parameters.push(key);
            sql += &format!(" AND key = ?{}", parameters.len());
        }
        if let Some(label) = &filter.label {
            parameters.push(label);
            sql += &format!(" AND label = ?{}", parameters.len());
        }
        sql += " ORDER BY count DESC, key, label, entity LIMIT ?1";
        let row = |row: &Row<'_>| {
            Ok(EntityCount { publication: row.get(0)?, label: row.get(1)?, entity: row.get(2)?, count: row.get(3)? })
        };
        self.read(|connection| rows(connection, &sql, &parameters, row))
    }

    fn overview(&mut self, top: usize) -> Result<Overview, StoreError> {
        self.read(|connection| {
            // One transaction, so that all figures are of the same moment.
            let transaction = connection.unchecked_transaction()?;
            // TOTAL instead of SUM: it goes up to the largest number instead of failing past it.
            let sql = "SELECT count(*), CAST(total(articles) AS INTEGER) FROM publications";
            let (publications, articles) = transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let sql = "SELECT CAST(total(count) AS INTEGER) FROM counters";
            let mentions = transaction.query_row(sql, [], |row| row.get(0))?;
            Ok(Overview { publications, articles, mentions, leaders: leaders(&transaction, top)? })
        })
    }
}

fn leaders(connection: &Connection, top: usize) -> rusqlite::Result<BTreeMap<String, Vec<Leader>>> {
    let sql = "WITH sums AS (
            SELECT label, entity, CAST(total(count) AS INTEGER) AS mentions FROM counters GROUP BY label, entity
        ), ranked AS (
            SELECT *, row_number() OVER (PARTITION BY label ORDER BY mentions DESC, entity) AS rank FROM sums
        )
        SELECT label, entity, mentions FROM ranked WHERE rank <= ?1 ORDER BY label, rank";
    let top = i64::try_from(top).unwrap_or(i64::MAX);
    let row = |row: &Row<'_>| Ok((row.get(0)?, Leader { entity: row.get(1)?, count: row.get(2)? }));
    let mut leaders: BTreeMap<String, Vec<Leader>> = BTreeMap::new();
    for (label, leader) in rows::<(String, Leader)>(connection, sql, &[&top], row)? {
        leaders.entry(label).or_default().push(leader);
    }
    Ok(leaders)
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, row)?.collect()
}
